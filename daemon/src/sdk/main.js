/* Reports clicks, impressions and conversions to the tracking domain it is loaded from.
 *
 *   EF.click({offer_id, affiliate_id, coupon_code, ...}).then(function (transaction_id) {})
 *   EF.conversion({offer_id, coupon_code, amount, ...}).then(function (conversion) {})
 *
 * Every function that reports returns a promise; what goes wrong rejects it and never throws.
 * The ids of clicks are kept for 30 days in cookies of the page's own site:
 * ef_tid_c_o_<offer> and ef_tid_c_a_<advertiser>, several joined by "|", the oldest first.
 */
(function (window, document) {
  'use strict';

  var HOST = '{{host}}';
  var DAYS_KEPT = 30;
  var SCRIPT = document.currentScript && document.currentScript.src || '';

  var CLICK_FIELDS = ['uid', 'source_id', 'creative_id', 'fbclid', 'gclid', 'ttclid'];
  var CONVERSION_FIELDS = ['coupon_code', 'amount', 'currency', 'order_id', 'user_id', 'email',
    'verification_token'];
  var NUMBERED = ['sub1', 'sub2', 'sub3', 'sub4', 'sub5', 'adv1', 'adv2', 'adv3', 'adv4', 'adv5'];

  var trackingDomain = ownOrigin();
  var cookieDomain = '';
  var organic = null;

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
    if (organic && !isGiven(options.coupon_code) && !isGiven(options.transaction_id) &&
        !(isGiven(options.offer_id) && isGiven(options.affiliate_id))) {
      options = Object.assign({}, options, organic);
    }
    if (options.do_not_track === true) return nothing('do_not_track is set');
    if (!isGiven(options.offer_id) && !isGiven(options.transaction_id) &&
        !isGiven(options.coupon_code)) {
      return nothing('give offer_id, coupon_code or transaction_id');
    }
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
      if (options.organic && isGiven(options.organic.offer_id)) {
        organic = {
          offer_id: options.organic.offer_id,
          affiliate_id: options.organic.affiliate_id
        };
      }
    },

    urlParameter: function (name) {
      var pairs = window.location.search.slice(1).split('&');
      for (var i = 0; i < pairs.length; i++) {
        var at = (pairs[i] + '=').indexOf('=');
        try {
          if (decode(pairs[i].slice(0, at)) === name) return decode(pairs[i].slice(at + 1));
        } catch (e) { /* not a name of ours */ }
      }
      return '';
    },

    getTransactionId: function (offer) {
      return newest(idsOfOffer(offer));
    },

    getAdvertiserTransactionId: function (advertiser) {
      return newest(idsOfAdvertiser(advertiser));
    }
  };

  function decode(text) {
    return decodeURIComponent(text.replace(/\+/g, ' '));
  }
})(window, document);
