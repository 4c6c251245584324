use super::*;
use crate::store::Store;

/// A conversion of which little is said.
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
        sub1: "story".into(),
        sub2: String::new(),
        sub3: String::new(),
        sub4: String::new(),
        sub5: String::new(),
        source_id: String::new(),
        uid: String::new(),
        country: String::new(),
        device_type: String::new(),
        address: "192.0.2.1".into(),
        user_agent: String::new(),
        referer: String::new(),
        order_id: format!("order-{id}"),
        email: String::new(),
        adv1: String::new(),
        adv2: String::new(),
        adv3: String::new(),
        adv4: String::new(),
        adv5: "last".into(),
        amount: Some(amount),
        sale_amount: amount,
        currency: "USD".into(),
        payout: "5".parse().unwrap(),
        payout_type: "cps".into(),
        revenue: "8".parse().unwrap(),
        revenue_type: "rps".into(),
        terms: String::new(),
        has_conflict: false,
        suspicion: String::new(),
        notes: String::new(),
        key: None,
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
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
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
async fn a_key_has_one_holder() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (first, second) = write(&store, |tx| {
        let (first, second) = (insert(tx, &sample(1, 1))?, insert(tx, &sample(2, 2))?);
        assert!(take_key(tx, &[9; 32], first.number)?);
        assert!(!take_key(tx, &[9; 32], second.number)?);
        Ok((first, second))
    })
    .await;
    assert_ne!(first.number, second.number);
    assert_eq!(read(&store, |c| holder(c, &[9; 32])).await, Some(first));
}

#[tokio::test]
async fn history_can_only_grow() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let number = write(&store, |tx| {
        let made = insert(tx, &sample(1, 1))?;
        tell(tx, made.number, Action::Created, Some(made.conversion.id), &[])?;
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
