use super::*;
use crate::store::{ReadTx, Store};

/// A conversion with few fields set.
pub(crate) fn sample(id: u8, unix_ms: u64) -> Conversion {
    let amount: Money = "100".parse().unwrap();
    Conversion {
        id: ConversionId([id; 16]),
        unix_ms,
        time_saved: 0,
        status: Status::Approved,
        error_code: 0,
        offer_id: 1,
        affiliate_id: 1,
        advertiser_id: 1,
        code_id: 1,
        coupon_code: "WINTER25".into(),
        folded_code: "winter25".into(),
        method: "coupon_code".into(),
        channel: Channel::Server,
        event_id: 0,
        event_name: String::new(),
        transaction_id: String::new(),
        click_ms: 0,
        click_address: String::new(),
        click_user_agent: String::new(),
        click_referer: String::new(),
        click_language: String::new(),
        visitor_key: 0,
        sub1: "story".into(),
        sub2: String::new(),
        sub3: String::new(),
        sub4: String::new(),
        sub5: String::new(),
        source_id: String::new(),
        uid: String::new(),
        offer_url_id: 0,
        country: String::new(),
        region: String::new(),
        city: String::new(),
        device_type: String::new(),
        platform: String::new(),
        browser: String::new(),
        buyer_address: String::new(),
        buyer_user_agent: String::new(),
        buyer_id: String::new(),
        address: "192.0.2.1".into(),
        user_agent: String::new(),
        referer: String::new(),
        order_id: format!("order-{id}"),
        email: String::new(),
        further: [("sub7", "seven".to_owned())].into_iter().collect(),
        ad_click_ids: FurtherTexts::default(),
        adv1: String::new(),
        adv2: String::new(),
        adv3: String::new(),
        adv4: String::new(),
        adv5: "last".into(),
        amount: Some(amount),
        sale_amount: amount,
        sale_currency: "USD".into(),
        currency: "USD".into(),
        payout: "5".parse().unwrap(),
        payout_type: "cps".into(),
        revenue: "8".parse().unwrap(),
        revenue_type: "rps".into(),
        terms: String::new(),
        has_conflict: false,
        suspicion: String::new(),
        notes: String::new(),
        evidence_rank: Rank::Code,
        key: None,
        refund_of: None,
        likeness: [id; 32],
        steps: "[]".into(),
    }
}

async fn write<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&WriteTx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    store.write(work).await.unwrap()
}

async fn read<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&ReadTx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    store.read(work).await.unwrap()
}

#[tokio::test]
async fn a_conversion_is_read_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let made = write(&store, |tx| insert(tx, &sample(7, 1_000))).await;
    assert_eq!(read(&store, |c| get(c, ConversionId([7; 16]))).await, Some(made));
    assert_eq!(read(&store, |c| get(c, ConversionId([8; 16]))).await, None);
}

#[tokio::test]
async fn conversions_are_found_by_their_key_but_for_those_of_untrusted_senders() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let keyed = |id: u8, error_code: u32| Conversion {
        key: Some([9; 32]),
        error_code,
        ..sample(id, id.into())
    };
    write(&store, move |tx| {
        for (id, error_code) in [(1, 18), (2, 21), (3, 0), (4, 1013)] {
            insert(tx, &keyed(id, error_code))?;
        }
        insert(tx, &sample(5, 5)).map(drop)
    })
    .await;
    let found = read(&store, |c| with_key(c, &[9; 32])).await;
    let ids: Vec<u8> = found.iter().map(|row| row.conversion.id.0[0]).collect();
    assert_eq!(ids, [1, 3]);
}

#[tokio::test]
async fn standing_conversions_are_found_by_what_they_were_recorded_under() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let click = "0192f0c1d2e37405a6b7c8d9eaf00112";
    let order = |id: u8, status, error_code| Conversion {
        key: Some([id; 32]),
        order_id: "A1".into(),
        transaction_id: click.into(),
        status,
        error_code,
        ..sample(id, id.into())
    };
    write(&store, move |tx| {
        for (id, status, error_code) in [
            (1, Status::Approved, 0),
            (2, Status::Pending, 1021),
            (3, Status::Rejected, 9),
            (4, Status::Rejected, 18),
            (5, Status::Invalid, 1005),
        ] {
            insert(tx, &order(id, status, error_code))?;
        }
        insert(tx, &Conversion { advertiser_id: 2, ..order(6, Status::Approved, 0) })?;
        insert(tx, &Conversion { key: None, ..order(7, Status::Approved, 0) }).map(drop)
    })
    .await;
    let keys = |found: Vec<crate::attribution::evidence::RecordedConversion>| {
        found.iter().map(|recorded| recorded.key.0[0]).collect::<Vec<_>>()
    };
    let found = read(&store, |c| recorded::find_by_order(c, "A1", 1)).await;
    assert_eq!(keys(found), [1, 2, 3]);
    let code = crate::catalog::RowCode::parse_any("Winter25").unwrap().folded();
    let found = read(&store, move |c| recorded::find_by_order_and_code(c, "A1", &code)).await;
    assert_eq!(keys(found), [1, 2, 3, 6]);
    let id = click.parse().unwrap();
    let found = read(&store, move |c| recorded::find_by_click(c, &id)).await;
    assert_eq!(keys(found), [1, 2, 3, 6]);
    assert!(read(&store, |c| recorded::find_by_order(c, "", 1)).await.is_empty());
}

#[tokio::test]
async fn history_can_only_grow() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let number = write(&store, |tx| {
        let made = insert(tx, &sample(1, 1))?;
        record_history(tx, made.number, Action::Created, Some(made.conversion.id), &[])?;
        Ok(made.number)
    })
    .await;
    for sql in ["DELETE FROM conversion_history", "UPDATE conversion_history SET actor = 'program'"]
    {
        let refused = store.write(move |tx| Ok::<_, StoreError>(tx.execute(sql, [])?)).await;
        assert!(refused.is_err(), "{sql}");
    }
    let told = read(&store, move |c| history(c, number)).await;
    assert_eq!((told.len(), told[0].action), (1, Action::Created));
    assert_eq!(told[0].postback_id, Some(ConversionId([1; 16])));
}

#[tokio::test]
async fn lists_are_filtered_paged_and_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    write(&store, |tx| {
        for id in 1..=5 {
            let status = if id == 4 { Status::Pending } else { Status::Approved };
            insert(tx, &Conversion { status, ..sample(id, u64::from(id) * 1_000) })?;
        }
        Ok(())
    })
    .await;
    let shown = |filters: Filters, page| {
        let store = &store;
        async move {
            let listed = read(store, move |c| list(c, &filters, page)).await;
            let ids: Vec<u8> = listed.rows.iter().map(|row| row.conversion.id.0[0]).collect();
            (ids, listed.total_count)
        }
    };
    let first = Page { number: 1, size: 2 };
    assert_eq!(shown(Filters::default(), first).await, (vec![5, 4], 5));
    assert_eq!(shown(Filters::default(), Page { number: 3, size: 2 }).await, (vec![1], 5));
    let spans = Filters { unix_ms: Some(2_000..4_000), ..Filters::default() };
    assert_eq!(shown(spans, first).await, (vec![3, 2], 2));
    let pending =
        Filters { statuses: vec![Status::Pending, Status::Rejected], ..Filters::default() };
    assert_eq!(shown(pending, first).await, (vec![4], 1));
    let order = Filters {
        order_id: Some("order-3".into()),
        offers: vec![1],
        is_event: Some(false),
        is_suspicious: Some(false),
        ..Filters::default()
    };
    assert_eq!(shown(order, first).await, (vec![3], 1));
    let none = Filters { affiliates: vec![2], ..Filters::default() };
    assert_eq!(shown(none, first).await, (vec![], 0));
}

#[tokio::test]
async fn lists_by_partner_offer_status_and_time_use_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let conditions =
        ["offer_id IN (?1)", "affiliate_id IN (?1)", "status IN (?1)", "unix_ms >= ?1"];
    for condition in conditions {
        let plan = read(&store, move |c| {
            let sql = format!(
                "EXPLAIN QUERY PLAN SELECT number FROM conversion WHERE true AND {condition} \
                 ORDER BY unix_ms DESC, number DESC LIMIT 50"
            );
            let plan: Vec<String> =
                c.prepare(&sql)?.query_map([1], |row| row.get(3))?.collect::<Result<_, _>>()?;
            Ok(plan.join("; "))
        })
        .await;
        assert!(plan.contains("SEARCH conversion USING COVERING INDEX"), "{condition}: {plan}");
        assert!(!plan.contains("B-TREE"), "{condition}: {plan}");
    }
}

#[test]
fn ids_are_read_as_they_are_shown() {
    let id = ConversionId([0x0f; 16]);
    assert_eq!(id.to_string(), "0f".repeat(16));
    assert_eq!(id.to_string().parse(), Ok(id));
    for wrong in ["", "0F0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", "0f", &"0f".repeat(17), "é"] {
        assert_eq!(wrong.parse::<ConversionId>(), Err(NotAConversionId), "{wrong}");
    }
}

#[tokio::test]
async fn conversions_of_an_earlier_version_keep_their_amounts_and_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection =
        rusqlite::Connection::open(dir.path().join(crate::store::FILE_NAME)).unwrap();
    crate::store::migrations::migrate_before(&mut connection, "ADD COLUMN evidence_rank");
    connection.execute_batch(OLD_STORE).unwrap();
    drop(connection);
    let store = Store::open(dir.path()).unwrap();
    let listed = read(&store, |c| list(c, &Filters::default(), Page { number: 1, size: 9 })).await;
    let shown = listed.rows.iter().rev().map(|row| {
        let Conversion { currency, sale_currency, evidence_rank, sale_amount, .. } =
            &row.conversion;
        format!("{sale_amount} {sale_currency} {currency} {}", evidence_rank.as_str())
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        ["60 USD USD code", "60 EUR USD click", "60 USD USD trusted"]
    );
    let refund = read(&store, |c| refunds::get(c, &[0xbb; 32])).await.unwrap();
    assert_eq!((refund.conversion_id.0, refund.received_ms), ([1; 16], 1_781_000_000_000));
    assert_eq!(read(&store, |c| refunds::get(c, &[0xaa; 32])).await, None);
    assert_eq!(read(&store, |c| with_key(c, &[0xaa; 32])).await.len(), 1);
    assert_eq!(read(&store, |c| recorded::find_by_order(c, "A1", 1)).await.len(), 1);
}

/// 1 with a key and a refund, 2 in another currency, 3 of an advertiser with a token.
const OLD_STORE: &str = "
    INSERT INTO advertiser (id, name, account_status, attribution_priority, attribution_method,
        verification_token, time_created, time_saved)
    VALUES (1, 'Shop', 'active', 'click', 'last_touch', '', 1, 1),
           (2, 'Bank', 'active', 'click', 'last_touch', 'x', 1, 1);
    CREATE TEMP TABLE made (number, id, status, error_code, advertiser_id, transaction_id, key);
    INSERT INTO made VALUES
        (1, x'01010101010101010101010101010101', 'approved', 0, 1, '',
         x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'),
        (2, x'02020202020202020202020202020202', 'pending', 1012, 1, 'click', NULL),
        (3, x'03030303030303030303030303030303', 'approved', 0, 2, '', NULL);
    INSERT INTO conversion
        SELECT number, CAST(id AS BLOB), 1, 1, status, error_code, 1, 1, advertiser_id, 1, 'A', 'a',
            'click', 'server', 0, '', transaction_id, 0, '', '', '', '', '', '', '', '', '', '', '',
            '', '', '', '', '', 'A1', '', '', '', '', '', '', '100', '60', 'USD', '3', 'cps', '5',
            'rps', '', 0, '', '', key, zeroblob(32), '[]' FROM made;
    INSERT INTO postback (number, id, spool, sequence, received_ms, node, channel, is_post, address,
        host, user_agent, referer, content_type, query, body, network_id, transaction_id, coupon_code,
        folded_code, offer_id, affiliate_id, event, order_id, amount, currency, email, verdict, outcome,
        error_code, error, conversion_id, decided_ms, steps, raw)
        SELECT 1, x'02020202020202020202020202020202', zeroblob(16), 1, 1, 0, 'server', 0, '', '',
            '', '', '', '', '', 1, '', '', '', 0, 0, '', '', '', 'EUR', '', 'pending', 'made', 1012,
            '', NULL, 1, '[]', NULL;
    INSERT INTO conversion_key VALUES
        (x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 1),
        (x'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 1);
    INSERT INTO conversion_history (number, time_created, action, actor, changes)
    VALUES (1, 1780000000, 'created', 'program', '[]'), (1, 1781000000, 'refund', 'program', '[]');
";
