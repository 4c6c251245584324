// Comfort for pages that work without scripts: copying, closing the menu on small screens, keys,
// selecting rows, options that are searched while typing, the progress of uploads, and a question
// before typed text is lost.

const byId = (id) => document.getElementById(id);

// Copying works over plain HTTP too, where a browser has no clipboard for scripts: by the older
// command, and else by selecting the text for the user.
async function copy(field, status) {
  field.focus();
  field.select();
  let copied = false;
  try {
    await navigator.clipboard.writeText(field.value);
    copied = true;
  } catch {
    copied = document.execCommand("copy");
  }
  status.textContent = copied ? "Copied" : "Press Ctrl+C to copy";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(byId(button.dataset.copy), button.parentElement.querySelector(".copied"));
});

// A small screen begins with a closed menu and closed filters. A wide one shows nothing to open the
// menu with, so a window that becomes wide has them open.
const small = matchMedia("(max-width: 900px)");
function fitBoxes() {
  for (const box of document.querySelectorAll("details.menu, details.filter-box")) box.open = !small.matches;
}
if (small.matches) fitBoxes();
small.addEventListener("change", fitBoxes);

// A refused form begins at its list of problems.
byId("problems")?.focus();

// One box ticks all rows of the page; with Shift, a click ticks all rows since the last one.
const all = document.querySelector("[data-select-all]");
if (all) {
  const boxes = [...document.querySelectorAll("[data-select]")];
  const count = document.querySelector("[data-selected]");
  let last = -1;
  const tell = () => {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length && ticked > 0;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
    if (count) count.textContent = ticked === 0 ? "" : `${ticked} selected`;
  };
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    tell();
  });
  boxes.forEach((box, place) =>
    box.addEventListener("click", (event) => {
      if (event.shiftKey && last >= 0) {
        const [from, to] = [Math.min(last, place), Math.max(last, place)];
        for (const other of boxes.slice(from, to + 1)) other.checked = box.checked;
      }
      last = place;
      tell();
    }),
  );
  tell();
}

// Long lists of offers or partners are searched on the server while the user types.
for (const input of document.querySelectorAll("input[data-options]")) {
  const list = byId(input.getAttribute("list"));
  let waiting = 0;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const address = `${input.dataset.options}?search=${encodeURIComponent(input.value)}`;
      const answer = await fetch(address, { headers: { accept: "application/json" } });
      if (!answer.ok) return;
      const labels = await answer.json();
      list.replaceChildren(
        ...labels.map((label) => Object.assign(document.createElement("option"), { value: label })),
      );
    }, 200);
  });
}

// A sentence about the code while it is typed: whether it is free, or whose it is.
const checked = document.querySelector("[data-check]");
if (checked) {
  const input = byId(checked.dataset.check);
  let waiting = 0;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      if (!input.value) return checked.replaceChildren();
      const answer = await fetch(`${checked.dataset.source}?code=${encodeURIComponent(input.value)}`);
      if (answer.ok) checked.textContent = await answer.text();
    }, 300);
  });
}

// A macro becomes a button that puts it at the caret of its input.
for (const text of document.querySelectorAll("[data-insert]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet code";
  button.textContent = text.textContent;
  button.addEventListener("click", () => {
    const input = byId(text.dataset.insert);
    // Behind the selection, which Tab puts around the whole text.
    input.setRangeText(button.textContent, input.selectionEnd, input.selectionEnd, "end");
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.focus();
  });
  text.replaceWith(button);
}

// Typed text is not lost by a stray click.
for (const form of document.querySelectorAll("form[data-keep]")) {
  let changed = false;
  form.addEventListener("input", () => (changed = true));
  form.addEventListener("submit", () => (changed = false));
  window.addEventListener("beforeunload", (event) => changed && event.preventDefault());
}

// A second click on a button that saves does nothing.
document.addEventListener("submit", (event) => {
  const { submitter } = event;
  if (event.target.method === "dialog") return;
  if (submitter) setTimeout(() => (submitter.disabled = true));
  setTimeout(() => submitter && (submitter.disabled = false), 8000);
});

document.querySelector("[data-print]")?.addEventListener("click", () => print());

// The progress of a large file; without scripts the browser shows its own.
function sendFile(form, address) {
  const text = form.querySelector("[data-progress-text]");
  const say = (sentence, kind) => {
    text.className = `notice ${kind}`;
    text.textContent = sentence;
  };
  const request = new XMLHttpRequest();
  request.open("POST", address);
  request.setRequestHeader("accept", "application/json");
  request.responseType = "json";
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    if (loaded === total) return say("The whole file is sent. Its rows are being checked.", "info");
    const [sent, all] = [loaded, total].map((bytes) => (bytes / 1e6).toFixed(1));
    say(`${sent} of ${all} MB are sent. Keep this page open.`, "info");
  });
  request.addEventListener("load", () => {
    if (request.response?.path) return (location.href = request.response.path);
    document.title = `Error: ${document.title.replace(/^Error: /, "")}`;
    say(request.response?.error ?? "The file was not taken. Load this page anew and try again.", "bad");
  });
  request.addEventListener("error", () => say("The connection broke off. Nothing was saved; try again.", "bad"));
  request.send(new FormData(form));
}

for (const form of document.querySelectorAll("form[data-progress]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { submitter } = event;
    sendFile(form, submitter?.hasAttribute("formaction") ? submitter.formAction : form.action);
  });
}

// A row of an upload is saved in its place: the answer is shown without a new page, so the focus and
// what is typed in other rows stay. Enter saves the row of the cell, Escape brings the cell back.
function saveInPlace(form, submitter) {
  const main = byId("main");
  const cells = () => [...main.querySelectorAll(".grid input, .grid textarea")];
  const focused = document.activeElement?.id;
  const typed = cells().filter((cell) => cell.form !== form && cell.value !== cell.defaultValue);
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.responseType = "document";
  request.addEventListener("load", () => {
    const fresh = request.status < 400 && request.response?.querySelector("main");
    if (!fresh) return form.submit();
    main.replaceChildren(...document.importNode(fresh, true).childNodes);
    for (const { id, value } of typed) if (byId(id)) byId(id).value = value;
    const next = byId(focused) ?? main.querySelector(".grid [aria-invalid]") ?? main;
    next.focus();
  });
  request.addEventListener("error", () => form.submit());
  request.send(new URLSearchParams(new FormData(form, submitter)));
}

document.addEventListener("submit", (event) => {
  const { target, submitter } = event;
  if (!target.matches("[data-in-place]") || submitter?.hasAttribute("formaction")) return;
  event.preventDefault();
  saveInPlace(target, submitter);
});

document.addEventListener("keydown", ({ key, target }) => {
  if (key === "Escape" && target.matches(".grid input, .grid textarea")) target.value = target.defaultValue;
});

// The same part of the page as the server has it now, or null. The browser parses the answer as a
// document of its own, so no text of it becomes code.
function fetchPart(selector, use) {
  const request = new XMLHttpRequest();
  request.open("GET", location.href);
  request.responseType = "document";
  request.addEventListener("load", () => {
    const fresh = request.response?.querySelector(selector);
    use(fresh && [...document.importNode(fresh, true).childNodes]);
  });
  request.send();
}

// The progress of a job or an upload, asked for each second. When the work has ended, the page is
// loaded anew, because it offers other actions then.
const polled = document.querySelector("[data-poll]");
if (polled) {
  setInterval(() => {
    if (document.hidden) return;
    fetchPart("[data-poll]", (parts) => {
      if (!parts) location.reload();
      else if (!polled.contains(document.activeElement)) polled.replaceChildren(...parts);
    });
  }, 1000);
}

// Keys, never while the user types.
const goTo = { c: "coupon-codes", o: "offers", p: "partners", a: "advertisers", v: "conversions", k: "clicks", f: "flex", s: "status" };
const isTyping = (element) =>
  element.closest("input:not([type=checkbox], [type=radio]), select, textarea, dialog, [popover]");

// The rows of the page's list, each with the link that opens it.
const rows = () => [...document.querySelectorAll("main tbody tr")].filter((row) => row.querySelector("a"));
const rowOf = (element) => element.closest("main tbody tr");

function stepToRow(step) {
  const all = rows();
  const at = all.indexOf(rowOf(document.activeElement));
  const next = at < 0 ? all.at(step > 0 ? 0 : -1) : all[at + step];
  next?.querySelector("a").focus();
}

// The element of the focused row, else the page's own for this key.
const ofRow = (selector) => rowOf(document.activeElement)?.querySelector(selector);
const own = (key) => document.querySelector(`[data-key="${key}"]`);

function edit() {
  const row = rowOf(document.activeElement);
  if (row?.querySelector("[data-select]")) location.href = `${row.querySelector("a").href}/edit`;
  else own("e")?.click();
}

function filter() {
  const form = document.querySelector("form.filters");
  const box = form?.closest("details");
  if (box) box.open = true;
  form?.querySelector("input:not([type=hidden]), select")?.focus();
}

const actions = {
  "?": () => byId("keys")?.showModal(),
  "/": () => byId("find")?.focus(),
  "[": () => document.querySelector("a[rel=prev]")?.click(),
  "]": () => document.querySelector("a[rel=next]")?.click(),
  a: () => own("a")?.focus(),
  c: () => own("c")?.click(),
  e: edit,
  f: filter,
  j: () => stepToRow(1),
  k: () => stepToRow(-1),
  n: () => document.querySelector("[data-one-by-one] a[rel=next]")?.click(),
  p: () => document.querySelector("[data-one-by-one] a[rel=prev]")?.click(),
  l: () => (ofRow("[popovertarget]") ?? own("l"))?.click(),
  x: () => ofRow("[data-select]")?.click(),
};

let isGoing = false;
const hasSingleKeys = document.documentElement.dataset.singleKeys !== "off";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.key === "Enter") return event.target.form?.requestSubmit();
  if (event.ctrlKey || event.metaKey || event.altKey || !hasSingleKeys || isTyping(event.target)) return;
  if (isGoing) {
    isGoing = false;
    if (goTo[event.key] && byId("find")) location.href = `/console/${goTo[event.key]}`;
  } else if (event.key === "g") isGoing = true;
  else if (actions[event.key]) {
    // The key of an action is no text for the input that gets the focus.
    event.preventDefault();
    actions[event.key]();
  }
});

// The newest clicks and sales, asked for when the server's stream says that there is something new. A
// list that holds the focus stays.
const live = document.querySelector("[data-live]");
if (live) {
  const button = document.querySelector("[data-pause]");
  const state = document.querySelector("[data-live-state]");
  // Tabs of a browser share one stream: the server gives each session two, a browser six connections.
  const tabs = new BroadcastChannel("live");
  let isPaused = false;
  let waiting = 0;
  const tell = () => {
    state.textContent = isPaused ? "Paused." : "New clicks and sales appear by themselves.";
    button.setAttribute("aria-pressed", String(isPaused));
  };
  const ask = () => {
    waiting = 0;
    if (isPaused || document.hidden || live.contains(document.activeElement)) return;
    fetchPart("[data-live]", (parts) => {
      if (!parts) location.reload();
      else if (!isPaused) live.replaceChildren(...parts);
    });
  };
  // Many events are one question.
  const askSoon = () => (waiting ||= setTimeout(ask, 300));
  tabs.addEventListener("message", askSoon);

  // Streams until the tab is hidden. A stream that is refused, because the session has ended or has
  // streams enough, is tried again later; until then the page asks by itself.
  const stream = () =>
    new Promise((done) => {
      if (document.hidden) return done();
      const source = new EventSource(live.dataset.live);
      const end = () => {
        source.close();
        document.removeEventListener("visibilitychange", endIfHidden);
        done();
      };
      const endIfHidden = () => document.hidden && end();
      document.addEventListener("visibilitychange", endIfHidden);
      const pass = () => {
        askSoon();
        tabs.postMessage("new");
      };
      for (const kind of ["click", "conversion", "gap"]) source.addEventListener(kind, pass);
      source.addEventListener("open", askSoon);
      source.addEventListener("error", () => {
        askSoon();
        if (source.readyState === EventSource.CLOSED) setTimeout(end, 5000);
      });
    });
  const streamWhileVisible = async () => {
    for (;;) {
      if (document.hidden) await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
      else if (navigator.locks) await navigator.locks.request("live", stream);
      else await stream();
    }
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    isPaused = !isPaused;
    tell();
    askSoon();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target.closest("input, select, textarea, button, a, summary")) return;
    event.preventDefault();
    button.click();
  });
  live.addEventListener("focusout", askSoon);
  document.addEventListener("visibilitychange", askSoon);
  tell();
  streamWhileVisible();
}

// The arrow keys and the pointer walk through the figures of a chart.
for (const plot of document.querySelectorAll("[data-chart]")) {
  const figure = plot.closest("figure");
  const positions = plot.dataset.chart.split(" ").map(Number);
  const cursor = figure.querySelector(".cursor");
  const told = figure.querySelector("[data-chart-figures]");
  const heads = [...figure.querySelectorAll("thead th")].slice(1);
  const rows = [...figure.querySelectorAll("tbody tr")];
  let at = -1;
  const show = (place) => {
    at = Math.max(0, Math.min(positions.length - 1, place));
    cursor.classList.add("on");
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, positions[at]);
    const [name, ...figures] = [...rows[at].children].map((cell) => cell.textContent);
    told.textContent = `${name}: ${figures.map((text, of) => `${heads[of].textContent} ${text}`).join(", ")}`;
  };
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(at + step);
  });
  plot.querySelector("svg").addEventListener("pointermove", (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * event.currentTarget.viewBox.baseVal.width;
    const distances = positions.map((position) => Math.abs(position - x));
    show(distances.indexOf(Math.min(...distances)));
  });
}
