//! What every database and object storage behind this crate must do. Another engine runs the same suite.

// In a test an assumption that does not hold is a failure of the test.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use hindsight_model::{
    Event,
    event::{EndCause, What},
};
use hindsight_store::{
    Database, DirectoryObjects, ObjectKey, ObjectKind, ObjectStore, StoreError, UploadArea, agent_states,
    announced::{self, Announced},
    api_tokens::{self, Right},
    audit, changes, devices, dns,
    enrolment_codes::{self, CodeRefused},
    events,
    persons::{self, Person, PersonRole},
    sessions::{self, Seat, Session},
    settings, upload_area,
};
use hindsight_wire::{
    DeviceId, InteractionId, PersonId, RecordingId, Timestamp, component::Dn, enrolment::DeviceKind,
    link::JournalEntry, policy::VoicePolicy,
};
use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

async fn database() -> (TempDir, Database) {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::create(directory.path()).await.unwrap();
    (directory, database)
}

fn person(login: &str) -> Person {
    Person {
        id: PersonId::new(),
        login: login.to_owned(),
        name: "Anna Berg".to_owned(),
        roles: BTreeSet::from([PersonRole::Agent, PersonRole::Supervisor]),
        password_hash: "$argon2id$".to_owned(),
        must_change: true,
        failed_attempts: 0,
        locked_until: None,
    }
}

#[tokio::test]
async fn a_file_that_is_not_in_its_place_takes_nothing_in() {
    let (directory, database) = database().await;
    let files = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let here = files.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "db")).unwrap();
    let away = here.with_extension("away");
    let refused = |result: Result<hindsight_store::Write, StoreError>| {
        assert!(matches!(result, Err(StoreError::Displaced { .. })));
    };
    database.write().await.unwrap().commit().await.unwrap();
    std::fs::rename(&here, &away).unwrap();
    refused(database.write().await);
    std::fs::copy(&away, &here).unwrap();
    refused(database.write().await);
    std::fs::rename(&away, &here).unwrap();
    database.write().await.unwrap().commit().await.unwrap();
}

fn owned_dn(number: &str, owner: Option<PersonId>) -> dns::OwnedDn {
    let dn = Dn {
        number: number.to_owned(),
        ha1_md5: "a".to_owned(),
        ha1_sha256: "b".to_owned(),
        record_voice: VoicePolicy::FullTime,
        record_screen: true,
    };
    dns::OwnedDn { dn, owner }
}

fn device(kind: DeviceKind, mark: u8) -> devices::Device {
    devices::Device {
        id: DeviceId::new(),
        kind,
        name: "host".to_owned(),
        certificate_serial: format!("{mark:02x}"),
        certificate_sha256: [mark; 32],
        not_after: NOW.plus_ms(1000),
        enrolled_at: NOW,
        revoked_at: None,
    }
}

fn ended() -> Event {
    Event {
        interaction: InteractionId::new(),
        at: NOW,
        what: What::CallEnded { cause: EndCause::HungUp, by: Some("1001".to_owned()) },
    }
}

#[tokio::test]
async fn a_database_opens_again_with_what_was_committed() {
    let (directory, database) = database().await;
    let mut write = database.write().await.unwrap();
    settings::put(&mut write, "realm", &"a.test").await.unwrap();
    write.commit().await.unwrap();
    let version = database.schema_version().await.unwrap();
    database.close().await;
    let again = Database::open(directory.path()).await.unwrap();
    let realm: Option<String> = settings::get(&mut again.read().await.unwrap(), "realm").await.unwrap();
    assert_eq!(realm.as_deref(), Some("a.test"));
    assert_eq!(again.schema_version().await.unwrap(), version);
    assert!(again.verify().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_database_that_is_gone_is_never_begun_anew_by_opening() {
    let (directory, ours) = database().await;
    ours.close().await;
    assert!(Database::create(directory.path()).await.is_err(), "nor is one made over another");
    assert!(Database::open(directory.path()).await.is_ok());
    let file = directory.path().join(hindsight_store::database::DATABASE_FILE);
    let refused = async || Database::open(directory.path()).await.err().unwrap().to_string();
    std::fs::write(&file, b"").unwrap();
    assert!(refused().await.contains("is empty"));
    // What an interrupted `init` or `sqlite3` itself leaves: a database, and no site in it.
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let mut foreign = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE t (a)").execute(&mut foreign).await.unwrap();
    sqlx::Connection::close(foreign).await.unwrap();
    assert!(refused().await.contains("holds no site"));
    std::fs::remove_dir_all(directory.path()).unwrap();
    assert!(refused().await.contains("is missing"));
    assert!(!directory.path().exists(), "nothing is made");
}

#[tokio::test]
async fn a_change_that_is_dropped_is_undone() {
    let (_directory, database) = database().await;
    let mut write = database.write().await.unwrap();
    persons::put(&mut write, &person("anna")).await.unwrap();
    drop(write);
    assert!(persons::by_login(&mut database.read().await.unwrap(), "anna").await.unwrap().is_none());
}

#[tokio::test]
async fn persons_are_found_in_any_letter_case_and_logins_are_unique() {
    let (_directory, database) = database().await;
    let anna = person("Anna");
    let mut write = database.write().await.unwrap();
    persons::put(&mut write, &anna).await.unwrap();
    let taken = persons::put(&mut write, &person("aNNa")).await;
    assert!(matches!(taken, Err(StoreError::Conflict(_))));
    let fewer = BTreeSet::from([PersonRole::Auditor]);
    persons::set_profile(&mut write, anna.id, "A. B.", &fewer).await.unwrap();
    let found = persons::by_login(&mut write, "ANNA").await.unwrap().unwrap();
    assert!(found.name == "A. B." && found.roles == fewer && found.id == anna.id && found.must_change);
}

#[tokio::test]
async fn a_dn_needs_an_owner_that_exists() {
    let (_directory, database) = database().await;
    let anna = person("anna");
    let mut write = database.write().await.unwrap();
    let nobody = dns::put(&mut write, &owned_dn("1001", Some(anna.id))).await;
    assert!(matches!(nobody, Err(StoreError::Conflict(_))));
    persons::put(&mut write, &anna).await.unwrap();
    dns::put(&mut write, &owned_dn("1001", Some(anna.id))).await.unwrap();
    dns::put(&mut write, &owned_dn("1002", None)).await.unwrap();
    let own = dns::owned_by(&mut write, anna.id).await.unwrap();
    assert!(own.len() == 1 && own[0] == owned_dn("1001", Some(anna.id)));
    assert!(dns::remove(&mut write, "1002").await.unwrap());
    assert!(!dns::remove(&mut write, "1002").await.unwrap());
}

#[tokio::test]
async fn a_device_is_known_by_its_certificate_until_it_is_revoked() {
    let (_directory, database) = database().await;
    let desktop = device(DeviceKind::Desktop, 7);
    let mut write = database.write().await.unwrap();
    devices::add(&mut write, &desktop).await.unwrap();
    assert_eq!(devices::by_certificate(&mut write, &[7; 32]).await.unwrap(), Some(desktop.clone()));
    assert_eq!(devices::by_certificate(&mut write, &[8; 32]).await.unwrap(), None);
    assert!(devices::revoke(&mut write, desktop.id, NOW).await.unwrap());
    assert!(!devices::revoke(&mut write, desktop.id, NOW.plus_ms(1)).await.unwrap());
    assert_eq!(devices::by_id(&mut write, desktop.id).await.unwrap().unwrap().revoked_at, Some(NOW));
}

#[tokio::test]
async fn an_enrolment_code_is_good_once_for_its_kind_and_its_time() {
    let (_directory, database) = database().await;
    let (first, second) = (device(DeviceKind::Desktop, 1), device(DeviceKind::Desktop, 2));
    let mut write = database.write().await.unwrap();
    devices::add(&mut write, &first).await.unwrap();
    devices::add(&mut write, &second).await.unwrap();
    let until = NOW.plus_ms(1000);
    let code = enrolment_codes::issue(&mut write, &[DeviceKind::Desktop], NOW, until).await.unwrap();
    let kind = DeviceKind::Desktop;
    for (code, kind, at, refused) in [
        ("guess", kind, NOW, CodeRefused::Unknown),
        (&code, DeviceKind::MediaServer, NOW, CodeRefused::Kind),
        (&code, kind, until, CodeRefused::Expired),
    ] {
        assert_eq!(
            enrolment_codes::redeem(&mut write, code, kind, first.id, at).await.unwrap(),
            Err(refused)
        );
    }
    assert_eq!(enrolment_codes::redeem(&mut write, &code, kind, first.id, NOW).await.unwrap(), Ok(()));
    let again = enrolment_codes::redeem(&mut write, &code, kind, second.id, NOW).await.unwrap();
    assert_eq!(again, Err(CodeRefused::Used));
}

#[tokio::test]
async fn a_code_for_several_devices_is_good_for_so_many_until_it_is_ended() {
    let (_directory, database) = database().await;
    let mut write = database.write().await.unwrap();
    let (until, kind) = (NOW.plus_ms(1000), DeviceKind::Desktop);
    let two = NonZeroU32::new(2).unwrap();
    let code = enrolment_codes::issue_for_many(&mut write, &[kind], two, NOW, until).await.unwrap();
    let other = enrolment_codes::issue_for_many(&mut write, &[kind], two, NOW, until).await.unwrap();
    for (serial, expected) in [(1, Ok(())), (2, Ok(())), (3, Err(CodeRefused::Used))] {
        let device = device(kind, serial);
        devices::add(&mut write, &device).await.unwrap();
        let redeemed = enrolment_codes::redeem(&mut write, &code, kind, device.id, NOW).await.unwrap();
        assert_eq!(redeemed, expected);
    }
    assert_eq!(enrolment_codes::end_all(&mut write, NOW).await.unwrap(), 1, "the first one is used up");
    assert_eq!(
        enrolment_codes::check(&mut write, &other, kind, NOW).await.unwrap(),
        Err(CodeRefused::Expired)
    );
}

#[tokio::test]
async fn sessions_end_by_time_by_sign_out_and_by_a_change_of_password() {
    let (_directory, database) = database().await;
    let anna = person("anna");
    let desktop = device(DeviceKind::Desktop, 1);
    let mut write = database.write().await.unwrap();
    persons::put(&mut write, &anna).await.unwrap();
    devices::add(&mut write, &desktop).await.unwrap();
    let session = |seat| Session {
        person: anna.id,
        seat,
        created_at: NOW,
        seen_at: NOW,
        expires_at: NOW.plus_ms(1000),
    };
    let console = session(Seat::Console { csrf_token: "c".to_owned() });
    let first = sessions::open(&mut write, &console).await.unwrap();
    let second = sessions::open(&mut write, &console).await.unwrap();
    let seat = session(Seat::Desktop { device: desktop.id, dn: "1001".to_owned() });
    let third = sessions::open(&mut write, &seat).await.unwrap();
    assert!(sessions::by_token(&mut write, &first, NOW).await.unwrap() == Some(console));
    assert!(sessions::by_token(&mut write, "guess", NOW).await.unwrap().is_none());
    assert!(sessions::by_token(&mut write, &first, NOW.plus_ms(1000)).await.unwrap().is_none());
    assert!(sessions::at_dn(&mut write, "1001", NOW).await.unwrap() == Some(seat));
    sessions::close_others(&mut write, anna.id, Some(&first)).await.unwrap();
    assert!(sessions::by_token(&mut write, &first, NOW).await.unwrap().is_some());
    assert!(sessions::by_token(&mut write, &second, NOW).await.unwrap().is_none());
    assert!(sessions::by_token(&mut write, &third, NOW).await.unwrap().is_none());
    assert!(sessions::close(&mut write, &first).await.unwrap());
    assert!(!sessions::close(&mut write, &first).await.unwrap());
}

#[tokio::test]
async fn a_journal_delivered_twice_is_in_the_log_once_and_unreadable_events_stay() {
    let (_directory, database) = database().await;
    let device = DeviceId::new();
    let entry = |sequence| JournalEntry { sequence, event: serde_json::to_value(ended()).unwrap() };
    let strange = JournalEntry { sequence: 3, event: serde_json::json!({ "type": "from-the-future" }) };
    let (one, two) = (entry(1), entry(2));
    let mut write = database.write().await.unwrap();
    let accepted =
        events::append_journal(&mut write, device, &[one.clone(), two.clone()], NOW).await.unwrap();
    assert_eq!(accepted, 2);
    let again = [one.clone(), two, strange.clone()];
    assert_eq!(events::append_journal(&mut write, device, &again, NOW).await.unwrap(), 3);
    assert_eq!(events::append_journal(&mut write, DeviceId::new(), &[one], NOW).await.unwrap(), 1);
    write.commit().await.unwrap();
    let log = events::after(&mut database.read().await.unwrap(), 0, 100).await.unwrap();
    assert_eq!(log.len(), 4);
    assert!(log[0].event.is_some());
    assert_eq!((log[2].event.clone(), log[2].json.clone()), (None, strange.event));
}

#[tokio::test]
async fn a_consumer_moves_its_cursor_with_what_it_derived_or_not_at_all() {
    let (_directory, database) = database().await;
    let mut write = database.write().await.unwrap();
    for _ in 0..5 {
        events::append(&mut write, &ended(), NOW).await.unwrap();
    }
    write.commit().await.unwrap();
    let mut read = database.read().await.unwrap();
    let from = events::cursor(&mut read, "index").await.unwrap();
    let batch = events::after(&mut read, from, 3).await.unwrap();
    assert_eq!(batch.len(), 3);
    let mut write = database.write().await.unwrap();
    events::advance(&mut write, "index", batch[2].position).await.unwrap();
    drop(write);
    assert_eq!(events::cursor(&mut read, "index").await.unwrap(), 0);
    let mut write = database.write().await.unwrap();
    events::advance(&mut write, "index", batch[2].position).await.unwrap();
    write.commit().await.unwrap();
    let from = events::cursor(&mut read, "index").await.unwrap();
    let rest = events::after(&mut read, from, 100).await.unwrap();
    assert_eq!(rest.len(), 2);
}

#[tokio::test]
async fn events_of_one_interaction_are_found_in_their_order() {
    let (_directory, database) = database().await;
    let (mine, other) = (ended(), ended());
    let mut write = database.write().await.unwrap();
    for event in [&mine, &other, &mine] {
        events::append(&mut write, event, NOW).await.unwrap();
    }
    let found = events::of_interaction(&mut write, mine.interaction).await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.position).collect::<Vec<_>>(), [1, 3]);
}

#[tokio::test]
async fn two_processes_share_the_file_and_wake_each_other() {
    let (directory, ours) = database().await;
    let theirs = Database::open(directory.path()).await.unwrap();
    let waiting = tokio::spawn({
        let ours = ours.clone();
        async move { events::wait_after(&ours, 0).await }
    });
    let writers = [ours.clone(), theirs].map(|database| {
        tokio::spawn(async move {
            for _ in 0..25 {
                let mut write = database.write().await.unwrap();
                events::append(&mut write, &ended(), NOW).await.unwrap();
                write.commit().await.unwrap();
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(events::last_position(&mut ours.read().await.unwrap()).await.unwrap(), 50);
}

#[tokio::test]
async fn an_audit_row_changed_or_taken_out_is_noticed() {
    for tampering in
        ["UPDATE audit SET actor = 'eve' WHERE position = 2", "DELETE FROM audit WHERE position = 2"]
    {
        let (_directory, database) = database().await;
        let mut write = database.write().await.unwrap();
        for object in ["1", "2", "3"] {
            let details = serde_json::json!({ "range": "all" });
            let record = audit::Record { at: NOW, actor: "anna", action: "recording.play", object, details };
            audit::append(&mut write, &record).await.unwrap();
        }
        assert_eq!(audit::verify(&mut write).await.unwrap(), None);
        assert_eq!(audit::before(&mut write, Some(3), 10).await.unwrap().len(), 2);
        sqlx::query(tampering).execute(&mut *write).await.unwrap();
        assert!(audit::verify(&mut write).await.unwrap().is_some(), "{tampering}");
    }
}

#[tokio::test]
async fn every_change_of_the_configuration_is_a_version() {
    let (_directory, database) = database().await;
    let mut write = database.write().await.unwrap();
    assert_eq!(changes::version(&mut write).await.unwrap(), 0);
    let object =
        changes::ObjectChange { object: "realm".to_owned(), before: None, after: Some("a.test".into()) };
    assert_eq!(changes::record(&mut write, NOW, "anna", "first", &[object]).await.unwrap(), 1);
    assert_eq!(changes::record(&mut write, NOW, "anna", "second", &[]).await.unwrap(), 2);
    let latest = changes::latest(&mut write, 10).await.unwrap();
    assert_eq!((latest[0].version, latest[1].reason.as_str()), (2, "first"));
}

fn storage() -> (TempDir, DirectoryObjects, UploadArea) {
    let directory = tempfile::tempdir().unwrap();
    let (objects, area) = upload_area::open_directory(directory.path()).unwrap();
    (directory, objects, area)
}

#[tokio::test]
async fn an_object_is_there_as_a_whole_or_not_at_all() {
    let (_directory, objects, _) = storage();
    let key = ObjectKey::new(RecordingId::new(), ObjectKind::Manifest);
    assert_eq!(objects.get(key).await.unwrap(), None);
    assert!(matches!(objects.read(key, 0..1).await, Err(StoreError::NotFound(_))));
    objects.put(key, Bytes::from_static(b"first")).await.unwrap();
    objects.put(key, Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(objects.get(key).await.unwrap().unwrap(), "second");
    assert_eq!(objects.read(key, 2..4).await.unwrap(), "co");
    assert!(objects.read(key, 2..7).await.is_err(), "more than there is");
    assert!(objects.remove(key).await.unwrap());
    assert!(!objects.remove(key).await.unwrap());
    let shard = objects.path(key).parent().unwrap().to_owned();
    assert_eq!(std::fs::read_dir(shard).unwrap().count(), 0, "no temporary file stays");
}

#[tokio::test]
async fn a_payload_is_adopted_once_and_never_replaced() {
    let (directory, objects, _) = storage();
    let key = ObjectKey::new(RecordingId::new(), ObjectKind::Payload);
    let file = directory.path().join("complete");
    std::fs::write(&file, "sealed").unwrap();
    objects.adopt(key, &file).await.unwrap();
    objects.adopt(key, &file).await.expect("the repetition after a crash is harmless");
    assert!(!file.exists());
    std::fs::write(&file, "other").unwrap();
    assert!(objects.adopt(key, &file).await.is_err());
    assert_eq!(objects.get(key).await.unwrap().unwrap(), "sealed");
    // A crash after the new name was given and before the old one was taken away.
    std::fs::remove_file(&file).unwrap();
    std::fs::hard_link(objects.path(key), &file).unwrap();
    objects.adopt(key, &file).await.unwrap();
    assert!(!file.exists());
}

async fn upload(area: &UploadArea, id: RecordingId, bytes: &[u8], piece: usize) {
    area.create(id).await.unwrap();
    let mut offset = 0;
    for piece in bytes.chunks(piece) {
        let mut appender = area.append(id, offset).await.unwrap();
        appender.write(Bytes::copy_from_slice(piece)).await.unwrap();
        offset = appender.finish().await.unwrap();
        assert_eq!(area.length(id).await.unwrap(), Some(offset));
    }
}

fn sealed(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn an_upload_in_pieces_of_any_size_becomes_envelope_and_payload() {
    for piece in [1000, 4095, 4096, 4097, 20_000] {
        let (_directory, objects, area) = storage();
        let (id, whole) = (RecordingId::new(), sealed(10_000));
        upload(&area, id, &whole, piece).await;
        assert_eq!(area.read(id, 0..10_000).await.unwrap(), whole);
        assert_eq!(area.read(id, 4000..4200).await.unwrap(), whole[4000..4200]);
        assert_eq!(area.read(id, 5000..5001).await.unwrap(), whole[5000..5001]);
        let digests = area.digest(id).await.unwrap();
        assert_eq!(digests.payload_size, 10_000 - 4096);
        area.commit(id, &objects).await.unwrap();
        area.commit(id, &objects).await.expect("the repetition after a crash is harmless");
        let get = |kind| objects.get(ObjectKey::new(id, kind));
        assert_eq!(get(ObjectKind::Envelope).await.unwrap().unwrap(), whole[..4096]);
        assert_eq!(get(ObjectKind::Payload).await.unwrap().unwrap(), whole[4096..]);
        assert_eq!(area.length(id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn bytes_for_another_offset_are_refused_with_the_right_one() {
    let (_directory, _, area) = storage();
    let id = RecordingId::new();
    assert!(matches!(area.append(id, 0).await, Err(StoreError::NotFound(_))));
    upload(&area, id, &sealed(5000), 5000).await;
    let refused = area.append(id, 4999).await;
    assert!(matches!(refused, Err(StoreError::Offset { offered: 4999, expected: 5000 })));
}

#[tokio::test]
async fn one_request_at_a_time_writes_an_upload() {
    let (_directory, _, area) = storage();
    let id = RecordingId::new();
    area.create(id).await.unwrap();
    let first = area.append(id, 0).await.unwrap();
    assert!(matches!(area.append(id, 0).await, Err(StoreError::Busy)));
    drop(first);
    area.append(id, 0).await.unwrap();
}

#[tokio::test]
async fn bytes_with_a_wrong_checksum_are_taken_back() {
    let (_directory, _, area) = storage();
    let (id, whole) = (RecordingId::new(), sealed(6000));
    upload(&area, id, &whole[..4000], 4000).await;
    let mut appender = area.append(id, 4000).await.unwrap();
    appender.write(Bytes::from(vec![0xee; 3000])).await.unwrap();
    appender.abandon().await.unwrap();
    assert_eq!(area.length(id).await.unwrap(), Some(4000));
    let mut appender = area.append(id, 4000).await.unwrap();
    appender.write(Bytes::copy_from_slice(&whole[4000..])).await.unwrap();
    assert_eq!(appender.finish().await.unwrap(), 6000);
    assert_eq!(area.read(id, 0..6000).await.unwrap(), whole);
}

#[tokio::test]
async fn a_tail_is_replaced_also_when_a_crash_interrupts_it() {
    let (directory, objects, area) = storage();
    let (id, whole) = (RecordingId::new(), sealed(4096 * 3));
    upload(&area, id, &whole, 9999).await;
    area.replace_tail(id, 4096, Bytes::from(vec![1; 4096])).await.unwrap();
    assert_eq!(area.read(id, 8192..12_288).await.unwrap(), vec![1; 4096]);
    // The new tail was kept, and the process died before, or in the middle of, writing it.
    let mut kept = 4096_u64.to_be_bytes().to_vec();
    kept.extend_from_slice(&[2; 4000]);
    std::fs::write(directory.path().join("uploads").join(format!("{id}.tail")), kept).unwrap();
    assert_eq!(area.digest(id).await.unwrap().payload_size, 8096);
    assert_eq!(area.read(id, 8192..12_192).await.unwrap(), vec![2; 4000]);
    assert_eq!(area.read(id, 0..8192).await.unwrap(), whole[..8192]);
    area.commit(id, &objects).await.unwrap();
}

#[tokio::test]
async fn an_upload_given_up_leaves_nothing() {
    let (directory, _, area) = storage();
    let id = RecordingId::new();
    upload(&area, id, &sealed(5000), 5000).await;
    area.discard(id).await.unwrap();
    assert_eq!(std::fs::read_dir(directory.path().join("uploads")).unwrap().count(), 0);
    area.discard(id).await.expect("giving up twice is harmless");
}

#[tokio::test]
async fn a_systems_token_is_good_until_it_is_made_anew_or_revoked() {
    let (_directory, database) = database().await;
    let mut write = database.write().await.unwrap();
    let rights = BTreeSet::from([Right::Announce]);
    let first = api_tokens::make(&mut write, "chat", &rights, NOW).await.unwrap();
    let system = api_tokens::by_token(&mut write, &first).await.unwrap().unwrap();
    assert_eq!((system.name.as_str(), &system.rights), ("chat", &rights));
    let second = api_tokens::make(&mut write, "chat", &BTreeSet::from(Right::ALL), NOW).await.unwrap();
    assert_eq!(api_tokens::by_token(&mut write, &first).await.unwrap(), None);
    assert_eq!(api_tokens::by_token(&mut write, &second).await.unwrap().unwrap().rights.len(), 2);
    assert!(api_tokens::revoke(&mut write, "chat", NOW).await.unwrap());
    assert!(!api_tokens::revoke(&mut write, "chat", NOW).await.unwrap());
    assert_eq!(api_tokens::by_token(&mut write, &second).await.unwrap(), None);
    let all = api_tokens::all(&mut write).await.unwrap();
    assert_eq!((all.len(), all[0].revoked_at), (1, Some(NOW)));
}

#[tokio::test]
async fn a_key_of_an_announcement_is_the_announcers_own_and_an_end_comes_once() {
    let (_directory, database) = database().await;
    let mut write = database.write().await.unwrap();
    let one = |by: &str| Announced {
        interaction: InteractionId::new(),
        by: by.to_owned(),
        request: "hash".to_owned(),
        at: NOW,
        ended_at: None,
    };
    let (mine, theirs) = (one("system:chat"), one("system:mail"));
    announced::add(&mut write, &mine, Some("7")).await.unwrap();
    announced::add(&mut write, &theirs, Some("7")).await.unwrap();
    assert!(announced::add(&mut write, &one("system:chat"), Some("7")).await.is_err());
    announced::add(&mut write, &one("system:chat"), None).await.unwrap();
    announced::add(&mut write, &one("system:chat"), None).await.unwrap();
    assert_eq!(announced::by_key(&mut write, "system:chat", "7").await.unwrap(), Some(mine.clone()));
    assert!(announced::end(&mut write, mine.interaction, NOW).await.unwrap());
    assert!(!announced::end(&mut write, mine.interaction, NOW.plus_ms(1)).await.unwrap());
    let ended = announced::by_id(&mut write, mine.interaction).await.unwrap().unwrap();
    assert_eq!(ended.ended_at, Some(NOW));
    assert_eq!(announced::by_id(&mut write, InteractionId::new()).await.unwrap(), None);
}

#[tokio::test]
async fn an_agents_state_is_kept_with_every_change() {
    let (_directory, database) = database().await;
    let mut write = database.write().await.unwrap();
    let ann = person("ann");
    persons::put(&mut write, &ann).await.unwrap();
    assert_eq!(agent_states::of(&mut write, ann.id).await.unwrap(), Default::default());
    agent_states::put(&mut write, ann.id, true, None, NOW).await.unwrap();
    let lunch = agent_states::put(&mut write, ann.id, false, Some("Lunch"), NOW.plus_ms(5)).await.unwrap();
    assert_eq!(agent_states::of(&mut write, ann.id).await.unwrap(), lunch);
    let changes = agent_states::changes(&mut write, ann.id, 9).await.unwrap();
    assert_eq!(changes.len(), 2);
    assert_eq!((&changes[0], changes[1].ready), (&lunch, true));
}
