//! All attacks and a few restarts, each for a moment. `cargo seawall attack` and `cargo seawall restart-drill`
//! take their time, and judge latencies as well, which say nothing on a machine that is busy with tests.

use std::time::Duration;

use clap::ValueEnum as _;
use seawall_attack::{Attack, Plan, attack, drill};
use seawall_testkit::binary;

/// A machine that is busy with tests may have calls that are late. An attack that has its way, or a service
/// that is gone, fails more of them.
fn most_are_good(calls: u64, failed: u64) -> bool {
    calls > 0 && failed * 10 <= calls
}

#[tokio::test]
async fn attackers_are_cut_off_and_good_calls_go_on() {
    let plan = Plan { rate: 50, window: Duration::from_millis(300), rounds: 1 };
    let mut reports = Vec::new();
    attack(&binary("user"), Attack::value_variants(), plan, |report| reports.push(report)).await.unwrap();
    assert_eq!(reports.len(), 12);
    for report in reports {
        assert!(report.strikes > 0 && report.is_cut_off() && report.is_small(), "{report:#?}");
        assert!(most_are_good(report.calls, report.failed), "{report:#?}");
    }
}

#[tokio::test]
async fn services_are_replaced_while_they_are_called() {
    let rows = drill(&binary("user"), &binary("order"), 4, 20, |_| {}).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.times).collect::<Vec<_>>(), [1, 1, 2, 5]);
    for row in rows.iter().take(3) {
        assert!(row.is_gone_in_time, "{row:#?}");
        assert!(most_are_good(row.calls, row.failed), "{row:#?}");
    }
    assert!(rows[3].is_gone_in_time, "{:#?}", rows[3]);
}
