//! An empty database of either engine, gone at the end.

use seawall_pool::{Config, Migration, Sql};

pub(crate) struct Database {
    url: String,
    _folder: Option<tempfile::TempDir>,
}

pub(crate) const ITEMS: &[Migration] = &[Migration {
    version: 1,
    name: "items",
    sql: "CREATE TABLE items (id TEXT PRIMARY KEY, n BIGINT, f DOUBLE PRECISION, t TEXT, b BYTEA);\n\
          CREATE INDEX items_n ON items (n);",
}];

impl Database {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/some/folders/test.db", folder.path().display());
        Self { url, _folder: Some(folder) }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let url = seawall_testkit::postgres::database().await?;
        Some(Self { url, _folder: None })
    }

    pub(crate) async fn postgres_by_tls() -> Option<Self> {
        let url = seawall_testkit::postgres::database_by_tls().await?;
        Some(Self { url, _folder: None })
    }

    pub(crate) fn config(&self) -> Config {
        Config::new(&self.url)
    }

    /// With the table `items`.
    pub(crate) async fn open(&self) -> Sql {
        Sql::open(&self.config(), ITEMS).await.unwrap()
    }
}

pub(crate) async fn count(sql: &Sql) -> i64 {
    let row = sql.query_opt("SELECT count(*) AS n FROM items", &[]).await.unwrap().unwrap();
    row.get("n").unwrap()
}

/// The whole text that a log would get.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
