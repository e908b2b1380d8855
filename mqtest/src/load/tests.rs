//! The load run against a server that breaks its word in a way the test chooses.

mod fake;

use super::*;
use clap::Parser;
use fake::Fault;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: LoadArgs,
}

async fn run_against(fault: Fault) -> Summary {
    let server = fake::start(fault).await;
    let server = server.to_string();
    let line = ["mqtest", "--clients", "4", "--seconds", "3", "--patience", "2", "--seed", "1"];
    let line = line.into_iter().chain(["--server", &server]);
    measure(Line::parse_from(line).args).await.unwrap()
}

#[tokio::test]
async fn a_server_that_keeps_its_word_passes() {
    let summary = run_against(Fault::None).await;
    assert!(summary.ok, "{summary}");
    assert!(summary.counts.deliveries > 100 && summary.counts.acked > 50, "{summary}");
}

#[tokio::test]
async fn a_server_that_loses_an_acked_post_at_one_node_is_found_out() {
    let summary = run_against(Fault::Lose).await;
    assert!(!summary.ok && summary.counts.lost > 0, "{summary}");
    assert_eq!(summary.counts.corrupted + summary.counts.astray, 0, "{summary}");
}

#[tokio::test]
async fn a_server_that_changes_the_order_is_found_out() {
    let summary = run_against(Fault::Reorder).await;
    assert!(!summary.ok && summary.counts.out_of_order > 0, "{summary}");
    assert_eq!(summary.counts.lost + summary.counts.corrupted, 0, "{summary}");
}

#[tokio::test]
async fn a_server_that_damages_a_message_is_found_out() {
    let summary = run_against(Fault::Damage).await;
    assert!(!summary.ok && summary.counts.corrupted > 0, "{summary}");
}

#[tokio::test]
async fn a_server_that_forgets_the_members_of_a_list_is_found_out() {
    let summary = run_against(Fault::ForgetMember).await;
    assert!(!summary.ok && summary.counts.lost > 0, "{summary}");
}

#[tokio::test]
async fn a_server_that_sends_twice_is_not_blamed() {
    let summary = run_against(Fault::Repeat).await;
    assert!(summary.ok && summary.counts.duplicates > 0, "{summary}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_and_no_verdict() {
    let line = Line::parse_from(["mqtest", "--server", "127.0.0.1:1"]);
    let error = measure(line.args).await.unwrap_err().to_string();
    assert!(error.contains("--spawn"), "{error}");
}
