//! The journal across crashes.

use super::*;
use serde_json::json;
use std::fs;

fn events(entries: &[JournalEntry]) -> Vec<(u64, i64)> {
    entries.iter().map(|entry| (entry.sequence, entry.event["n"].as_i64().unwrap())).collect()
}

fn append(journal: &Journal, numbers: std::ops::Range<i64>) {
    for n in numbers {
        journal.append(&json!({ "n": n })).unwrap();
    }
    journal.flush();
}

#[test]
fn what_was_appended_is_there_after_a_restart_and_goes_on_in_order() {
    let dir = tempfile::tempdir().unwrap();
    append(&Journal::open(dir.path()).unwrap(), 0..3);
    let journal = Journal::open(dir.path()).unwrap();
    append(&journal, 3..5);
    let expected: Vec<_> = (0..5).map(|n| (n as u64 + 1, n)).collect();
    assert_eq!(events(&journal.batch(100).unwrap()), expected);
    assert_eq!(journal.waiting(), 5);
}

#[test]
fn batches_are_bounded_and_go_on_behind_what_was_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    append(&journal, 0..250);
    let mut seen = Vec::new();
    loop {
        let batch = journal.batch(100).unwrap();
        let Some(last) = batch.last() else { break };
        assert!(batch.len() <= 100);
        journal.accept(last.sequence).unwrap();
        seen.extend(events(&batch));
    }
    assert_eq!(seen, (0..250).map(|n| (n as u64 + 1, n)).collect::<Vec<_>>());
    assert_eq!(journal.waiting(), 0);
}

#[test]
fn a_journal_cut_at_any_byte_keeps_every_whole_line_and_uses_no_sequence_twice() {
    let dir = tempfile::tempdir().unwrap();
    append(&Journal::open(dir.path()).unwrap(), 0..4);
    let path = dir.path().join(store::LOG);
    let whole = fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        let torn = u64::from(cut > 0 && whole[cut - 1] != b'\n');
        let journal = Journal::open(dir.path()).unwrap();
        append(&journal, 100..101);
        let entries = events(&journal.batch(100).unwrap());
        assert_eq!(entries.len(), lines + 1, "cut at {cut}");
        assert_eq!(entries.last().unwrap().0, lines as u64 + torn + 1, "cut at {cut}");
        assert_eq!(journal.damaged(), 0);
    }
}

#[test]
fn a_damaged_line_is_set_aside_with_its_reason_and_the_others_are_delivered() {
    let dir = tempfile::tempdir().unwrap();
    append(&Journal::open(dir.path()).unwrap(), 0..5);
    let path = dir.path().join(store::LOG);
    let mut content = fs::read(&path).unwrap();
    let third = content.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 20;
    content[third] ^= 0x10;
    fs::write(&path, &content).unwrap();

    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.damaged(), 1);
    assert_eq!(events(&journal.batch(100).unwrap()), [(1, 0), (2, 1), (4, 3), (5, 4)]);
    append(&journal, 9..10);
    assert_eq!(events(&journal.batch(100).unwrap()).last(), Some(&(6, 9)));
    let note = fs::read_to_string(dir.path().join("journal.damaged")).unwrap();
    assert!(note.contains("checksum differs"), "{note}");
    drop(journal);
    assert_eq!(Journal::open(dir.path()).unwrap().damaged(), 0);
}

#[test]
fn a_damaged_last_line_may_have_been_delivered_and_its_sequence_is_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    append(&Journal::open(dir.path()).unwrap(), 0..3);
    let path = dir.path().join(store::LOG);
    let mut content = fs::read(&path).unwrap();
    let last = content.len() - 5;
    content[last] ^= 1;
    fs::write(&path, &content).unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    append(&journal, 7..8);
    assert_eq!(events(&journal.batch(100).unwrap()), [(1, 0), (2, 1), (4, 7)]);
}

#[test]
fn the_delivered_part_is_cut_off_and_sequences_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let text = "x".repeat(1_000);
    for n in 0..3_000 {
        journal.append(&json!({ "n": n, "text": text })).unwrap();
    }
    journal.flush();
    let path = dir.path().join(store::LOG);
    let before = fs::metadata(&path).unwrap().len();
    journal.accept(2_990).unwrap();
    journal.flush();
    assert!(fs::metadata(&path).unwrap().len() < before / 100);
    append(&journal, 3_000..3_001);
    let expected: Vec<_> = (2_990..3_001).map(|n| (n as u64 + 1, n)).collect();
    assert_eq!(events(&journal.batch(100).unwrap()), expected);
    journal.accept(3_001).unwrap();
    journal.flush();
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.waiting(), 0);
    append(&journal, 1..2);
    assert_eq!(events(&journal.batch(100).unwrap()), [(3_002, 1)]);
}

#[test]
fn sequences_are_not_used_again_when_the_file_is_lost_but_the_acceptance_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    append(&journal, 0..10);
    journal.accept(10).unwrap();
    journal.flush();
    drop(journal);
    fs::remove_file(dir.path().join(store::LOG)).unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    append(&journal, 0..1);
    assert_eq!(events(&journal.batch(100).unwrap()), [(11, 0)]);
}

#[test]
fn a_batch_stays_below_the_largest_message_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let text = "x".repeat(MAX_EVENT - 30);
    for n in 0..8 {
        journal.append(&json!({ "n": n, "text": text })).unwrap();
    }
    let large = json!({ "text": "x".repeat(MAX_EVENT) });
    assert!(matches!(journal.append(&large), Err(JournalError::TooLarge(_))));
    journal.flush();
    let mut seen = 0;
    while let batch = journal.batch(100).unwrap()
        && let Some(last) = batch.last()
    {
        assert!(serde_json::to_vec(&batch).unwrap().len() < 1 << 20);
        seen += batch.len();
        journal.accept(last.sequence).unwrap();
    }
    assert_eq!(seen, 8);
}

#[test]
fn a_second_owner_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _journal = Journal::open(dir.path()).unwrap();
    assert!(matches!(Journal::open(dir.path()), Err(JournalError::Locked(_))));
}

#[test]
fn a_journal_that_was_lost_goes_on_behind_what_the_server_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    append(&journal, 0..3);
    // As it should be: nothing moves.
    journal.continue_after(2).unwrap();
    assert_eq!((journal.newest(), *journal.durable().borrow()), (3, 3));
    journal.accept(1).unwrap();
    journal.continue_after(40).unwrap();
    let expected = [(41, 1), (42, 2)];
    assert_eq!(events(&journal.batch(100).unwrap()), expected);
    append(&journal, 3..4);
    assert_eq!((journal.newest(), *journal.durable().borrow(), journal.waiting()), (43, 43, 3));
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(events(&journal.batch(100).unwrap()), [(41, 1), (42, 2), (43, 3)]);
    assert_eq!(journal.newest(), 43);
}
