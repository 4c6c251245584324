/* Reports clicks, impressions and conversions to the tracking domain it is loaded from.
 *
 *   EF.click({offer_id, affiliate_id, coupon_code, ...}).then(function (transaction_id) {})
 *   EF.conversion({offer_id, coupon_code, amount, ...}).then(function (conversion) {})
 *
 * Every function that reports returns a promise; what goes wrong rejects it and never throws.
 * The ids of clicks are kept for 30 days in cookies of the page's own site:
 * ef_tid_c_o_<offer> and ef_tid_c_a_<advertiser>, several joined by "|", the oldest first.
 * ef_witness=1 says that there was a click, so that no later visit counts as organic.
 */
(function (window, document) {
  'use strict';

  var HOST = '{{host}}';
  var DAYS_KEPT = 30;
  var LONGEST_VALUE = 255;
  var SCRIPT = document.currentScript && document.currentScript.src || '';

  var CLICK_FIELDS = ['uid', 'source_id', 'creative_id'];
  // Ids that ad networks add to the links of their ads; the page's URL has them.
  var AD_CLICK_IDS = ['fbclid', 'gclid', 'ttclid'];
  var CONVERSION_FIELDS = ['coupon_code', 'amount', 'currency', 'order_id', 'user_id', 'email',
    'verification_token'];
  var NUMBERED = [];
  for (var number = 1; number <= 10; number++) NUMBERED.push('sub' + number, 'adv' + number);

  var trackingDomain = ownOrigin();
  var cookieDomain = '';
  var organic = null;
  // The last report of a click on this page.
  var clickUnderWay = null;

  // The script's own address has the scheme and the port that work here, also where a proxy ends TLS.
  function ownOrigin() {
    var own = /^https?:\/\/([^\/:[]+|\[[^\]]+\])(:\d+)?(?=\/)/.exec(SCRIPT);
    if (own && own[1].toLowerCase().replace(/\.$/, '') === HOST) return own[0];
    return (window.location.protocol === 'http:' ? 'http://' : 'https://') + HOST;
  }

  function origin(domain) {
    var text = String(domain).replace(/\/+$/, '');
    return /^https?:\/\//.test(text) ? text : 'https://' + text.replace(/^\/\//, '');
  }

  function isGiven(value) {
    return value !== undefined && value !== null && value !== '';
  }

  // Cookies ------------------------------------------------------------------------------------

  function readCookie(name) {
    var pairs = document.cookie.split(';');
    for (var i = 0; i < pairs.length; i++) {
      var at = pairs[i].indexOf('=');
      if (pairs[i].slice(0, at).trim() !== name) continue;
      try {
        return decodeURIComponent(pairs[i].slice(at + 1).trim());
      } catch (e) {
        return '';
      }
    }
    return '';
  }

  function writeCookie(name, value) {
    var expires = new Date(Date.now() + DAYS_KEPT * 86400000).toUTCString();
    document.cookie = name + '=' + value + ';expires=' + expires + ';path=/;SameSite=Lax' +
      (cookieDomain ? ';domain=' + cookieDomain : '');
  }

  // The first id and the last ones of a "|" list.
  function cut(list, last) {
    var ids = list.split('|');
    return ids.length <= last + 1 ? list : [ids[0]].concat(ids.slice(-last)).join('|');
  }

  // A click that is known already is not a new touch.
  function remember(name, id) {
    var ids = readCookie(name).split('|').filter(Boolean);
    if (ids.indexOf(id) < 0) ids.push(id);
    writeCookie(name, cut(ids.join('|'), 49));
  }

  function rememberAll(kind, answer) {
    if (kind === 'c') writeCookie('ef_witness', '1');
    if (answer.oid) remember('ef_tid_' + kind + '_o_' + answer.oid, answer.transaction_id);
    if (answer.aid) remember('ef_tid_' + kind + '_a_' + answer.aid, answer.transaction_id);
  }

  function idsOfOffer(offer) {
    return readCookie('ef_tid_c_o_' + offer) || readCookie('ef_tid_i_o_' + offer) ||
      readCookie('ef_tid_' + offer);
  }

  function idsOfAdvertiser(advertiser) {
    return readCookie('ef_tid_c_a_' + advertiser) || readCookie('ef_tid_i_a_' + advertiser);
  }

  function newest(list) {
    return list.split('|').pop();
  }

  // Earlier versions of this script kept ids alone.
  function hadClick() {
    return document.cookie.split(';').some(function (pair) {
      return /^\s*(ef_witness|ef_tid_c_[oa]_\d+|ef_tid_\d+)=./.test(pair);
    });
  }

  // Organic visits -----------------------------------------------------------------------------

  // Parameters that networks add to their links; of several, the last of this list counts.
  var NETWORKS = [['fbclid', 'Facebook'], ['gclid', 'Google'], ['ttclid', 'Tiktok'],
    ['sccid', 'Snapchat'], ['ScCid', 'Snapchat'], ['msclkid', 'Microsoft'],
    ['MSCLKID', 'Microsoft'], ['OutbrainClickId', 'Outbrain'], ['TCLID', 'Taboola']];
  var SEARCH_ENGINES = /^https?:\/\/(?:[^\/]*\.)?(google|bing|yahoo|duckduckgo|ecosia)\.[a-z.]+(?=[:\/]|$)/;

  function organicSource() {
    var source = '';
    NETWORKS.forEach(function (network) {
      if (urlParameter(network[0])) source = network[1];
    });
    if (source === 'Facebook' && /^PAA/.test(urlParameter('fbclid'))) source = 'Instagram';
    var engine = source ? null : SEARCH_ENGINES.exec(document.referrer);
    return engine ? engine[1].charAt(0).toUpperCase() + engine[1].slice(1) : source;
  }

  // The page's URL wins over what is known of the visit, and the shop's own options over both.
  function organicOptions() {
    var path = window.location.pathname;
    var options = {
      sub1: organicSource(),
      sub2: document.referrer,
      sub3: '/' + path.split('/')[1],
      sub4: path,
      sub5: window.location.search,
      source_id: 'organic'
    };
    Object.keys(options).forEach(function (name) {
      options[name] = shortened(urlParameter(name) || options[name]);
    });
    options.transaction_id = urlParameter('_ef_transaction_id');
    options.parameters = { __organic_click: 1 };
    return Object.assign(options, organic);
  }

  // Keeps the report within the length of a URL.
  function shortened(value) {
    return value.slice(0, LONGEST_VALUE);
  }

  // Reports ------------------------------------------------------------------------------------

  function take(query, options, fields) {
    fields.forEach(function (field) {
      if (isGiven(options[field])) query[field] = options[field];
    });
  }

  function addFree(query, options) {
    var free = options.parameters || {};
    Object.keys(free).forEach(function (name) {
      if (isGiven(free[name])) query[name] = free[name];
    });
  }

  function send(path, query, options) {
    var base = isGiven(options.tracking_domain) ? origin(options.tracking_domain) : trackingDomain;
    var pairs = Object.keys(query).map(function (name) {
      return encodeURIComponent(name) + '=' + encodeURIComponent(query[name]);
    });
    if (!window.fetch) throw failure('this browser cannot report: it has no fetch', false);
    return whenShown(function () {
      // A visitor who leaves the page does not take the report back.
      return window.fetch(base + path + '?' + pairs.join('&'), {
        credentials: 'include',
        headers: { Accept: 'application/json' },
        keepalive: true
      });
    }).then(read, function (error) {
      throw failure(base + ' cannot be reached (' + error.message + ')', true);
    });
  }

  // A page that is rendered ahead reports when somebody looks at it, if ever.
  function whenShown(report) {
    if (!document.prerendering) return report();
    return new Promise(function (resolve) {
      document.addEventListener('prerenderingchange', resolve, { once: true });
    }).then(report);
  }

  function read(response) {
    if (response.ok) return response.json();
    return response.json().catch(function () { return {}; }).then(function (answer) {
      var why = answer.error || 'the tracking domain answered ' + response.status;
      throw failure(why, response.status === 503);
    });
  }

  function failure(why, mayPass) {
    var error = new Error('EF: ' + why);
    error.mayPass = mayPass;
    return error;
  }

  // A sale is worth some more tries; the server knows a repeat.
  function insist(report, waits) {
    return report().catch(function (error) {
      if (!error.mayPass || !waits.length) throw error;
      return new Promise(function (resolve) {
        setTimeout(resolve, waits[0]);
      }).then(function () {
        return insist(report, waits.slice(1));
      });
    });
  }

  function nothing(why) {
    if (window.console) window.console.warn('EF: nothing is reported: ' + why);
    return Promise.resolve('');
  }

  function reportVisit(path, kind, query, options) {
    AD_CLICK_IDS.forEach(function (name) {
      var id = isGiven(options[name]) ? options[name] : urlParameter(name);
      if (isGiven(id)) query[name] = id;
    });
    if (document.referrer) query.__rf = shortened(document.referrer);
    take(query, options, CLICK_FIELDS);
    take(query, options, NUMBERED);
    addFree(query, options);
    query.async = 'json';
    return send(path, query, options).then(function (answer) {
      if (!answer.transaction_id) throw failure(answer.error, false);
      rememberAll(kind, answer);
      return answer.transaction_id;
    });
  }

  function click(options) {
    if (options.do_not_track === true) return nothing('do_not_track is set');
    var namesClick = isGiven(options.offer_id) || isGiven(options.transaction_id) ||
      isGiven(options.coupon_code);
    var report = namesClick ? reportClick(options) : organicClick();
    clickUnderWay = report.catch(function () { return ''; });
    return report;
  }

  // A visit is organic if no click came before it, one that is still under way included.
  function organicClick() {
    if (!organic) return nothing('give offer_id, coupon_code or transaction_id');
    return (clickUnderWay || Promise.resolve()).then(function () {
      if (hadClick()) return nothing('a click came before, so the visit is not organic');
      return reportClick(organicOptions());
    });
  }

  function reportClick(options) {
    var query = {};
    if (isGiven(options.transaction_id)) query._ef_transaction_id = options.transaction_id;
    if (isGiven(options.offer_id)) query.oid = options.offer_id;
    if (isGiven(options.affiliate_id)) query.affid = options.affiliate_id;
    if (isGiven(options.coupon_code)) query.__cc = options.coupon_code;
    return reportVisit('/sdk/click', 'c', query, options);
  }

  function impression(options) {
    if (options.do_not_track === true) return nothing('do_not_track is set');
    if (!isGiven(options.offer_id) && !isGiven(options.coupon_code)) {
      return nothing('give offer_id or coupon_code');
    }
    var query = {};
    if (isGiven(options.offer_id)) query.oid = options.offer_id;
    if (isGiven(options.affiliate_id)) query.affid = options.affiliate_id;
    if (isGiven(options.coupon_code)) query.__cc = options.coupon_code;
    return reportVisit('/sdk/impression', 'i', query, options);
  }

  // What the page says, else what the cookies know.
  function idsForConversion(options) {
    if (isGiven(options.transaction_id)) return String(options.transaction_id);
    if (isGiven(options.offer_id)) return idsOfOffer(options.offer_id);
    var advertiser = isGiven(options.aid) ? options.aid : options.advertiser_id;
    return isGiven(advertiser) ? idsOfAdvertiser(advertiser) : '';
  }

  function conversion(options) {
    var query = { transaction_id: cut(idsForConversion(options), 9) };
    if (isGiven(options.adv_event_id)) query.adv_event_id = options.adv_event_id;
    else query.event_id = isGiven(options.event_id) ? options.event_id : 0;
    if (isGiven(options.offer_id)) query.oid = options.offer_id;
    if (isGiven(options.affiliate_id)) query.affid = options.affiliate_id;
    if (isGiven(options.advertiser_id)) query.advid = options.advertiser_id;
    if (isGiven(options.aid)) query.aid = options.aid;
    take(query, options, CONVERSION_FIELDS);
    take(query, options, NUMBERED);
    if (isGiven(options.order)) query.order = JSON.stringify(options.order);
    addFree(query, options);
    return insist(function () {
      return send('/sdk/conversion', query, options);
    }, [1000, 3000]);
  }

  // No mistake of ours or of a caller may stop the page.
  function guarded(report) {
    return function (options) {
      try {
        return report(options || {});
      } catch (error) {
        return window.Promise ? Promise.reject(error) : inert();
      }
    };
  }

  // Stands for a promise in browsers that have none.
  function inert() {
    var self = { then: function () { return self; }, 'catch': function () { return self; } };
    return self;
  }

  window.EF = {
    click: guarded(click),
    impression: guarded(impression),
    conversion: guarded(conversion),

    configure: function (options) {
      options = options || {};
      if (isGiven(options.tracking_domain)) trackingDomain = origin(options.tracking_domain);
      if (isGiven(options.tld)) cookieDomain = options.tld;
      if (options.organic) configureOrganic(options.organic);
    },

    urlParameter: urlParameter,

    getTransactionId: function (offer) {
      return newest(idsOfOffer(offer));
    },

    getAdvertiserTransactionId: function (advertiser) {
      return newest(idsOfAdvertiser(advertiser));
    }
  };

  function configureOrganic(wanted) {
    if (!isGiven(wanted.offer_id) || !isGiven(wanted.affiliate_id)) {
      nothing('organic visits need organic.offer_id and organic.affiliate_id');
      return;
    }
    organic = Object.assign({}, wanted.options, {
      offer_id: wanted.offer_id,
      affiliate_id: wanted.affiliate_id
    });
  }

  function urlParameter(name) {
    var pairs = window.location.search.slice(1).split('&');
    for (var i = 0; i < pairs.length; i++) {
      var at = (pairs[i] + '=').indexOf('=');
      try {
        if (decode(pairs[i].slice(0, at)) === name) return decode(pairs[i].slice(at + 1));
      } catch (e) { /* not a name of ours */ }
    }
    return '';
  }

  function decode(text) {
    return decodeURIComponent(text.replace(/\+/g, ' '));
  }
})(window, document);
