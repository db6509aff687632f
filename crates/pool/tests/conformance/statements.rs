//! Values in and out, and what single statements report.

use seawall_pool::Value;

use super::database::{Database, chain, count};

pub(crate) async fn every_value_comes_back(database: Database) {
    let sql = database.open().await;
    let insert = "INSERT INTO items (id, n, f, t, b) VALUES ($1, $2, $3, $4, $5)";
    for (index, n) in [0, 1, -1, i64::MIN, i64::MAX].into_iter().enumerate() {
        let (f, text) = ([0.0, -0.5, 1e300, f64::MIN_POSITIVE, 2.0][index], ["", "é", "a'b\"c", "日本", "\n\t"][index]);
        let bytes: Vec<u8> = (0..=255).take(index * 60).collect();
        let id = format!("id{index}");
        let values = [id.as_str().into(), n.into(), f.into(), text.into(), bytes.clone().into()];
        assert_eq!(sql.execute(insert, &values).await.unwrap(), 1);
        let row = sql.query_opt("SELECT * FROM items WHERE id = $1", &[id.into()]).await.unwrap().unwrap();
        assert_eq!(row.get::<i64>("n").unwrap(), n);
        assert_eq!(row.get::<f64>("f").unwrap().to_bits(), f.to_bits());
        assert_eq!(row.get::<String>("t").unwrap(), text);
        assert_eq!(row.get::<Option<Vec<u8>>>("b").unwrap(), Some(bytes));
    }
    let nulls = ["null".into(), None::<i64>.into(), None::<f64>.into(), None::<String>.into(), Value::Null];
    sql.execute(insert, &nulls).await.unwrap();
    let row = sql.query_opt("SELECT * FROM items WHERE n IS NULL", &[]).await.unwrap().unwrap();
    assert_eq!(row.get::<Option<i64>>("n").unwrap(), None);
    assert_eq!(row.get::<Option<f64>>("f").unwrap(), None);
    assert_eq!(row.get::<Option<String>>("t").unwrap(), None);
    assert_eq!(row.get::<Option<Vec<u8>>>("b").unwrap(), None);
    assert!(sql.query_opt("SELECT * FROM items WHERE id = $1", &["none".into()]).await.unwrap().is_none());
}

pub(crate) async fn a_wrong_read_is_named(database: Database) {
    let sql = database.open().await;
    let row = sql.query_opt("SELECT 'secret' AS name, count(*) AS n FROM items", &[]).await.unwrap().unwrap();
    assert_eq!(row.get::<i64>("name").unwrap_err().to_string(), "the column name is TEXT, not BIGINT");
    assert_eq!(row.get::<i64>("m").unwrap_err().to_string(), "there is no column m; there are: name, n");
    assert!(!format!("{row:?}").contains("secret"), "{row:?}");
}

pub(crate) async fn parameters_are_known_by_number_not_by_place(database: Database) {
    let sql = database.open().await;
    let insert = "INSERT INTO items (t, id, n) VALUES ($2, $1, $3)";
    sql.execute(insert, &["the id".into(), "the text".into(), 7.into()]).await.unwrap();
    let select = "SELECT id, t FROM items WHERE n = $2 AND (t = $1 OR id = $1) LIMIT $3";
    let rows = sql.query(select, &["the text".into(), 7.into(), 5.into()]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<String>("id").unwrap(), "the id");
    assert_eq!(rows[0].get::<String>("t").unwrap(), "the text");
}

pub(crate) async fn a_wrong_number_of_parameters_fails_and_harms_nothing(database: Database) {
    let sql = database.open().await;
    let error = sql.query("SELECT id FROM items WHERE n = $1", &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "the statement has 1 parameters, and 0 were given");
    sql.query("SELECT id FROM missing", &[]).await.unwrap_err();
    sql.ping().await.unwrap();
}

pub(crate) async fn a_unique_violation_is_known_and_tells_no_values(database: Database) {
    let sql = database.open().await;
    let insert = "INSERT INTO items (id) VALUES ($1)";
    sql.execute(insert, &["ann@example.com".into()]).await.unwrap();
    let error = sql.execute(insert, &["ann@example.com".into()]).await.unwrap_err();
    assert!(error.unique_violation());
    assert!(!chain(&error).contains("ann") && !format!("{error:?}").contains("ann"), "{error:?}");
    assert!(chain(&error).contains("items"), "the cause says where: {}", chain(&error));
    let other = sql.execute("INSERT INTO missing (id) VALUES ($1)", &["ann".into()]).await.unwrap_err();
    assert!(!other.unique_violation());
    assert!(!chain(&other).contains("ann"), "{}", chain(&other));
    assert_eq!(seawall_error::Error::from(other).code(), seawall_error::Code::Internal);
}

pub(crate) async fn rows_affected_are_counted(database: Database) {
    let sql = database.open().await;
    let insert = "INSERT INTO items (id, n) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    assert_eq!(sql.execute(insert, &["a".into(), 1.into()]).await.unwrap(), 1);
    assert_eq!(sql.execute(insert, &["a".into(), 2.into()]).await.unwrap(), 0);
    let upsert = "INSERT INTO items (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = excluded.n";
    assert_eq!(sql.execute(upsert, &["a".into(), 3.into()]).await.unwrap(), 1);
    assert_eq!(sql.execute(insert, &["b".into(), 3.into()]).await.unwrap(), 1);
    assert_eq!(sql.execute("UPDATE items SET t = $1 WHERE n = $2", &["x".into(), 3.into()]).await.unwrap(), 2);
    assert_eq!(sql.execute("UPDATE items SET t = $1 WHERE n = $2", &["x".into(), 4.into()]).await.unwrap(), 0);
    assert_eq!(sql.execute("DELETE FROM items", &[]).await.unwrap(), 2);
    assert_eq!(count(&sql).await, 0);
}

pub(crate) async fn returning_gives_rows(database: Database) {
    let sql = database.open().await;
    let insert = "INSERT INTO items (id, n) VALUES ($1, $2) RETURNING id, n + 1 AS next";
    let row = sql.query_opt(insert, &["a".into(), 41.into()]).await.unwrap().unwrap();
    assert_eq!((row.get::<String>("id").unwrap(), row.get::<i64>("next").unwrap()), ("a".to_owned(), 42));
    assert_eq!(count(&sql).await, 1, "it was committed");
}
