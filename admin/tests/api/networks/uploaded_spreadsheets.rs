//! Files as people have them: spreadsheets with every mess are uploaded, mended by their wrong rows,
//! and become codes.

use std::io::Cursor;

use bytes::Bytes;
use calamine::{Data, Reader, Xlsx};
use http_body_util::Full;
use hyper::Request;
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook, Worksheet};
use serde_json::{Value, json};

use crate::client::{Answer, Running, start_with_offers};

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// A format of files, as parameter and as media type.
#[derive(Clone, Copy)]
struct Kind {
    format: &'static str,
    media_type: &'static str,
}

const CSV_KIND: Kind = Kind { format: "csv", media_type: "text/csv" };
const XLSX_KIND: Kind = Kind { format: "xlsx", media_type: XLSX };

impl Running {
    async fn call_with_file(&self, method: &str, path: &str, kind: &str, body: Bytes) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/networks/{path}"))
            .header("x-eflow-api-key", &self.key)
            .header("content-type", kind)
            .body(Full::new(body))
            .unwrap();
        self.send(request).await
    }

    async fn upload_as(&self, kind: Kind, query: &str, file: Vec<u8>) -> Answer {
        let path = format!("couponcodes/uploads?{query}");
        self.call_with_file("POST", &path, kind.media_type, file.into()).await
    }

    async fn download(&self, path: &str, kind: Kind) -> Vec<u8> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}format={}", kind.format);
        let answer = self.call_with_file("GET", &path, "", Bytes::new()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.header("content-type").unwrap().starts_with(kind.media_type), "{answer:?}");
        let name = answer.header("content-disposition").unwrap();
        assert!(name.ends_with(&format!(".{}\"", kind.format)), "{name}");
        answer.bytes.to_vec()
    }
}

/// The cells of a downloaded file.
fn cells(kind: Kind, file: &[u8]) -> Vec<Vec<String>> {
    if kind.format == "csv" {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
        let records = reader.records().map(Result::unwrap);
        return records.map(|record| record.iter().map(str::to_owned).collect()).collect();
    }
    let mut book = Xlsx::new(Cursor::new(file.to_vec())).unwrap();
    let range = book.worksheet_range_at(0).unwrap().unwrap();
    range.rows().map(|row| row.iter().map(Data::to_string).collect()).collect()
}

/// A file of these cells, all of them texts.
fn file(kind: Kind, rows: &[Vec<String>]) -> Vec<u8> {
    if kind.format == "csv" {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        return writer.into_inner().unwrap();
    }
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    for (row, cells) in (0..).zip(rows) {
        for (column, cell) in (0..).zip(cells) {
            sheet.write_string(row, column, cell).unwrap();
        }
    }
    book.save_to_buffer().unwrap()
}

/// UTF-16 with a mark, semicolons, Excel's first line, and a mess in every row.
fn messy_csv() -> Vec<u8> {
    let text = "sep=;\r\n Offer ID ;Partner;Coupon;STATUS;Start Date;End-Date;Colour;Notes;;\r\n\
                1.0;1; MESS1 ;Active;30/11/2026;2026-12-31T00:00:00Z;red;Grüße;;\r\n\
                ;;;;;;;;;\r\n\
                2;;MESS2;paused;20261201;2026/12/24;;=1+1;;\r\n\
                1;1;MESS3;active;31/11/2026;;blue;\"two\r\nlines\";;\r\n\
                1;1;MESS4;active;;;;x;;surplus\r\n\
                9;1;MESS5;active;;;;;;\r\n\
                1;1;EXAMPLE - write your codes below;active\r\n\
                1;1\r\n";
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn put_texts(sheet: &mut Worksheet, row: u32, cells: &[&str]) {
    for (column, cell) in (0..).zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        sheet.write_string(row, column, *cell).unwrap();
    }
}

/// The same rows in a workbook whose first sheet is blank: numbers, days of the calendar, and texts.
fn messy_workbook() -> Vec<u8> {
    let mut book = Workbook::new();
    book.add_worksheet().set_name("Cover").unwrap();
    let sheet = book.add_worksheet().set_name("Codes").unwrap();
    let heads = [" Offer ID ", "Partner", "Coupon", "STATUS", "Start Date", "End-Date", "Colour"];
    put_texts(sheet, 1, &heads);
    sheet.write_string(1, 7, "Notes").unwrap();
    let day = Format::new().set_num_format("dd/mm/yyyy");
    let date = ExcelDateTime::from_ymd(2026, 11, 30).unwrap();
    put_texts(sheet, 2, &["", "", " MESS1 ", "Active", "", "2026-12-31", "red", "Grüße"]);
    sheet.write_number(2, 0, 1.0).unwrap();
    sheet.write_number(2, 1, 1.0).unwrap();
    sheet.write_datetime_with_format(2, 4, &date, &day).unwrap();
    put_texts(sheet, 4, &["2", "", "MESS2", "paused", "20261201", "2026/12/24", "", "=1+1"]);
    let wrong_day = ["1", "1", "MESS3", "active", "31/11/2026", "", "blue", "two\nlines"];
    put_texts(sheet, 5, &wrong_day);
    put_texts(sheet, 7, &["1", "1", "MESS4", "active", "", "", "", "x", "", "surplus"]);
    put_texts(sheet, 8, &["9", "1", "MESS5", "active"]);
    put_texts(sheet, 9, &["1", "1", "EXAMPLE - write your codes below", "active"]);
    put_texts(sheet, 10, &["1", "1"]);
    put_texts(book.add_worksheet().set_name("Old").unwrap(), 0, &["Code"]);
    book.save_to_buffer().unwrap()
}

/// Mends the wrong rows as a person does, and leaves everything else as it came.
fn mended(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let head = rows[0].clone();
    let column = |name: &str| head.iter().position(|head| head == name).unwrap();
    let (offer, code, status) = (column("offer_id"), column("coupon_code"), column("status"));
    let (start, surplus) = (column("start_date"), column("surplus_cells"));
    assert_eq!(rows[1][column("Colour")], "blue");
    assert!(rows[1][column("errors")].contains("31/11/2026"), "{:?}", rows[1]);
    rows[1][start] = "28/11/2026".into();
    assert!(rows[2][surplus].contains("surplus"), "{:?}", rows[2]);
    rows[2][surplus].clear();
    rows[3][offer] = "2".into();
    assert_eq!((rows[4][offer].as_str(), rows[4][code].as_str()), ("1", ""));
    rows[4][code] = "MESS6".into();
    rows[4][status] = "active".into();
    rows
}

fn faults(page: &Value) -> Vec<(u64, u64, Vec<&str>)> {
    let rows = page["rows_on_page"].as_array().unwrap().iter();
    let faulty = rows.filter(|row| row["verdict"] == "invalid");
    let fault = |row: &'_ Value| (row["row"].as_u64().unwrap(), row["line"].as_u64().unwrap());
    faulty
        .map(|row| {
            let (number, line) = fault(row);
            let errors = row["errors"].as_array().unwrap().iter();
            (number, line, errors.map(|error| error["column"].as_str().unwrap()).collect())
        })
        .collect()
}

async fn check_mess(kind: Kind, messy: Vec<u8>, warnings: &[&str]) {
    let network = start_with_offers().await;
    let query = "mode=add&date_format=dd/mm/yyyy";
    let upload = network.upload_as(kind, query, messy).await.done();
    assert_eq!((&upload["rows"], &upload["invalid"]), (&json!(6), &json!(4)), "{upload}");
    let found = upload["warnings"].as_array().unwrap();
    assert_eq!(found.len(), warnings.len(), "{found:?}");
    for (found, expected) in found.iter().zip(warnings) {
        assert!(found.as_str().unwrap().starts_with(expected), "{found}");
    }
    let path = format!("couponcodes/uploads/{}", upload["upload_id"]);
    let page = network.get(&path).await.done();
    let faults = faults(&page);
    let columns: Vec<_> = faults.iter().map(|(row, _, columns)| (*row, columns.clone())).collect();
    let expected = [(3, vec!["start_date"]), (4, vec![""]), (5, vec!["offer_id"]), (6, vec![""])];
    assert_eq!(columns, expected);
    let lines: Vec<u64> = faults.iter().map(|(_, line, _)| *line).collect();
    assert_eq!(lines, [6, 8, 9, 11], "the lines are those of the file");

    let wrong = network.download(&format!("{path}/invalid_rows.csv"), kind).await;
    let commit = format!("{path}/commit?skip_invalid=true");
    let saved = network.call_with_file("POST", &commit, "", Bytes::new()).await.done();
    assert_eq!(saved["committed"]["created"], 2);
    let mended = file(kind, &mended(cells(kind, &wrong)));
    let again = network.upload_as(kind, query, mended).await.done();
    assert_eq!((&again["rows"], &again["invalid"]), (&json!(4), &json!(0)), "{again}");
    let warning = again["warnings"][0].as_str().unwrap();
    assert!(again["warnings"].as_array().unwrap().len() == 1 && warning.starts_with("`Colour`"));
    let commit = format!("couponcodes/uploads/{}/commit", again["upload_id"]);
    network.call_with_file("POST", &commit, "", Bytes::new()).await.done();

    let list = network.get("couponcodes").await.done();
    let codes = list["coupon_codes"].as_array().unwrap();
    let names: Vec<&str> = codes.iter().map(|code| code["coupon_code"].as_str().unwrap()).collect();
    assert_eq!(names, ["MESS1", "MESS2", "MESS3", "MESS4", "MESS5", "MESS6"]);
    let days = |code: &Value| (code["start_date"].clone(), code["end_date"].clone());
    assert_eq!(days(&codes[0]), (json!("2026-11-30"), json!("2026-12-31")));
    assert_eq!(days(&codes[1]), (json!("2026-12-01"), json!("2026-12-24")));
    assert_eq!(days(&codes[2]), (json!("2026-11-28"), json!("")));
    assert_eq!(codes[0]["internal_notes"], "Gr\u{fc}\u{df}e");
    assert_eq!(codes[1]["internal_notes"], "=1+1");
    assert_eq!(codes[4]["network_offer_id"], 2);

    let export = network.download("couponcodes/export.csv?names=true&links=true", kind).await;
    let head = &cells(kind, &export)[0];
    assert_eq!(head[11..], ["offer_name", "affiliate_name", "tracking_link"], "{head:?}");
    assert_eq!(cells(kind, &export)[1][12], "Anna");
    let same = network.upload_as(kind, "mode=update", export).await.done();
    assert_eq!((&same["valid"], &same["warnings"]), (&json!(6), &json!([])), "{same}");
    let commit = format!("couponcodes/uploads/{}/commit", same["upload_id"]);
    let same = network.call_with_file("POST", &commit, "", Bytes::new()).await.done();
    assert_eq!(same["committed"]["unchanged"], 6);
}

#[tokio::test]
async fn a_spreadsheet_with_every_mess_becomes_codes() {
    let left_out = ["`Colour`: no field", "line 10: the example"];
    check_mess(CSV_KIND, messy_csv(), &left_out).await;
    let left_out = [
        "the rows are those of the sheet `Codes`; left out: `Cover`, `Old`",
        left_out[0],
        left_out[1],
    ];
    check_mess(XLSX_KIND, messy_workbook(), &left_out).await;
}

#[tokio::test]
async fn a_workbook_is_read_by_the_sheet_that_is_named_and_refused_if_it_is_none() {
    let network = start_with_offers().await;
    let other = network.upload_as(XLSX_KIND, "mode=add&sheet=Old", messy_workbook()).await;
    assert_eq!(other.refusal().1, "upload.unreadable");
    assert!(other.body["error"].as_str().unwrap().contains("there is no column"), "{other:?}");
    let nobody = network.upload_as(XLSX_KIND, "mode=add&sheet=New", messy_workbook()).await;
    let sentence = nobody.body["error"].as_str().unwrap();
    assert!(sentence.ends_with("`New`; its sheets: Cover, Codes, Old"), "{sentence}");
    let broken = messy_workbook()[..3_000].to_vec();
    let broken = network.upload_as(XLSX_KIND, "mode=add", broken).await;
    assert_eq!(broken.refusal().1, "upload.unreadable");

    // The fields of a form say the same as parameters; a blank one says nothing.
    let field = |name: &str, text: &str| {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    };
    let fields =
        field("sheet", "Codes") + &field("date_format", "dd/mm/yyyy") + &field("encoding", "");
    let head = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.xlsx\"\r\n\r\n";
    let body = [fields.as_bytes(), head.as_bytes(), &messy_workbook(), b"\r\n--XX--\r\n"].concat();
    let form = "multipart/form-data; boundary=XX";
    let path = "couponcodes/uploads?mode=add&keep_unclear=true";
    let upload = network.call_with_file("POST", path, form, body.into()).await.done();
    assert_eq!((&upload["status"], &upload["valid"]), (&json!("staged"), &json!(2)), "{upload}");
    let body = [field("colour", "red").as_bytes(), head.as_bytes(), b"\r\n--XX--\r\n"].concat();
    let refused = network.call_with_file("POST", path, form, body.into()).await;
    assert_eq!(refused.refusal().2, ["colour"]);
}

#[tokio::test]
async fn reports_and_templates_are_workbooks_on_request() {
    let network = start_with_offers().await;
    for mode in ["add", "update"] {
        let template =
            network.download(&format!("couponcodes/template.csv?mode={mode}"), XLSX_KIND).await;
        let upload = network.upload_as(XLSX_KIND, &format!("mode={mode}"), template).await.done();
        assert_eq!(upload["rows"], 0);
        assert_eq!(upload["warnings"].as_array().unwrap().len(), 1);
    }
    let audit = cells(XLSX_KIND, &network.download("audit/export.csv", XLSX_KIND).await);
    assert_eq!(audit[0][0], "network_audit_id");
    let report = json!({"columns": [{"column": "offer"}], "from": "2026-01-01", "to": "2026-01-02",
                        "timezone_id": 67, "currency_id": "EUR"});
    for path in
        ["reporting/entity/table/export", "reporting/conversions/export", "reporting/clicks/stream"]
    {
        let body = match path {
            "reporting/entity/table/export" => report.clone(),
            _ => json!({"from": "2026-01-01", "to": "2026-01-02", "timezone_id": 67}),
        };
        let answer = network.post(&format!("{path}?format=xlsx"), body.clone()).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(XLSX)), "{answer:?}");
        assert!(!cells(XLSX_KIND, &answer.bytes)[0].is_empty());
        let refused = network.post(&format!("{path}?format=pdf"), body).await;
        assert_eq!(refused.refusal().2, ["format"]);
    }
}
