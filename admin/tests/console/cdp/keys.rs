//! Keys as events of the protocol, with the key codes that scripts and the browser itself read.

use serde_json::{Value, json};

const MODIFIERS: [(&str, u32); 4] = [("Alt", 1), ("Control", 2), ("Meta", 4), ("Shift", 8)];

/// Key, code and text of keys that have a name.
const NAMED: [(&str, u32, &str); 14] = [
    ("Backspace", 8, ""),
    ("Tab", 9, ""),
    ("Enter", 13, "\r"),
    ("Escape", 27, ""),
    ("Space", 32, " "),
    ("PageUp", 33, ""),
    ("PageDown", 34, ""),
    ("End", 35, ""),
    ("Home", 36, ""),
    ("ArrowLeft", 37, ""),
    ("ArrowUp", 38, ""),
    ("ArrowRight", 39, ""),
    ("ArrowDown", 40, ""),
    ("Delete", 46, ""),
];

/// Press and release of a chord such as `Control+Shift+k`.
pub(super) fn events_of_chord(chord: &str) -> [Value; 2] {
    let (modifiers, key) = chord.rsplit_once('+').unwrap_or(("", chord));
    let modifiers = modifiers.split('+').filter(|name| !name.is_empty()).map(|name| {
        let found = MODIFIERS.iter().find(|modifier| modifier.0 == name);
        found.unwrap_or_else(|| panic!("{name} is no modifier: use one of {MODIFIERS:?}")).1
    });
    let modifiers = modifiers.sum();
    if let Some((name, code, text)) = NAMED.iter().find(|named| named.0 == key) {
        let sent = if *name == "Space" { " " } else { name };
        return events(sent, name, *code, modifiers, text);
    }
    let mut chars = key.chars();
    match (chars.next(), chars.next()) {
        (Some(char), None) => char_events(char, modifiers),
        _ => panic!("{key} is no key: use a character or one of {NAMED:?}"),
    }
}

/// Press and release of the key of a character.
pub(super) fn events_of_char(char: char) -> [Value; 2] {
    char_events(char, 0)
}

fn char_events(char: char, modifiers: u32) -> [Value; 2] {
    let key = char.to_string();
    let upper = char.to_ascii_uppercase();
    let (name, code) = match upper {
        'A'..='Z' => (format!("Key{upper}"), u32::from(upper)),
        '0'..='9' => (format!("Digit{upper}"), u32::from(upper)),
        // Browsers tell scripts the text of such a key; its place depends on the keyboard.
        _ => (String::new(), 0),
    };
    events(&key, &name, code, modifiers, &key)
}

fn events(key: &str, name: &str, code: u32, modifiers: u32, text: &str) -> [Value; 2] {
    // A chord is a command: only a shifted key still writes.
    let text = if modifiers & !8 == 0 { text } else { "" };
    let event = |kind: &str| {
        json!({
            "type": kind, "key": key, "code": name, "modifiers": modifiers,
            "windowsVirtualKeyCode": code,
        })
    };
    let mut down = event(if text.is_empty() { "rawKeyDown" } else { "keyDown" });
    if !text.is_empty() {
        down["text"] = text.into();
    }
    [down, event("keyUp")]
}
