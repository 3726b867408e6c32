use super::*;

fn file(text: &str) -> SiteFile {
    SiteFile::parse(text).unwrap()
}

fn error(current: &Configuration, text: &str) -> String {
    plan(current, &file(text)).err().unwrap().to_string()
}

const SITE: &str = r#"
        realm = "a.test"
        [[person]]
        login = "anna"
        name = "Anna"
        roles = ["agent"]
        dn = "1001"
        one_time_password = "first-word"
        [[dn]]
        number = "1001"
        password = "geheimnis"
        record_voice = "full-time"
    "#;

fn applied() -> Configuration {
    let mut current = Configuration::default();
    for step in plan(&current, &file(SITE)).unwrap().steps {
        match step {
            Step::Realm(realm) => current.realm = realm,
            Step::AddPerson(person) => current.persons.push(person),
            Step::PutDn(dn) => current.dns.push(dn),
            _ => panic!("a new site has only additions"),
        }
    }
    current
}

#[test]
fn the_same_file_changes_nothing_the_second_time() {
    assert!(plan(&applied(), &file(SITE)).unwrap().changes.is_empty());
}

#[test]
fn the_record_of_a_change_holds_no_credential() {
    let plan = plan(&Configuration::default(), &file(SITE)).unwrap();
    let text = serde_json::to_string(&plan.changes).unwrap();
    assert!(
        !text.contains("geheimnis") && !text.contains("first-word") && !text.contains("argon2"),
        "{text}"
    );
    assert!(!text.contains(&ha1("1001", "a.test", "geheimnis").md5), "{text}");
}

#[test]
fn a_new_realm_needs_every_password_again() {
    assert!(error(&applied(), "realm = \"b.test\"").contains("dn 1001 needs its password again"));
    let again = "realm = \"b.test\"\n[[dn]]\nnumber = \"1001\"\npassword = \"geheimnis\"";
    assert_eq!(plan(&applied(), &file(again)).unwrap().changes.len(), 2);
}

#[test]
fn what_a_file_does_not_name_stays() {
    assert!(plan(&applied(), &file("realm = \"a.test\"")).unwrap().steps.is_empty());
}

#[test]
fn a_person_without_dn_in_the_file_keeps_it_and_an_empty_one_takes_it_away() {
    let anna = "[[person]]\nlogin = \"anna\"\nname = \"Anna\"\nroles = [\"agent\"]\n";
    assert!(plan(&applied(), &file(anna)).unwrap().steps.is_empty());
    let plan = plan(&applied(), &file(&format!("{anna}dn = \"\""))).unwrap();
    assert!(matches!(&plan.steps[..], [Step::PutDn(owned)] if owned.owner.is_none()));
}

#[test]
fn one_file_hands_a_dn_from_one_person_to_another_in_any_order() {
    let anna = "[[person]]\nlogin = \"anna\"\nname = \"Anna\"\nroles = [\"agent\"]\ndn = \"\"\n";
    let bert = "[[person]]\nlogin = \"bert\"\nname = \"Bert\"\nroles = []\ndn = \"1001\"\npassword = \"long enough\"\n";
    for text in [format!("{anna}{bert}"), format!("{bert}{anna}")] {
        let plan = plan(&applied(), &file(&text)).unwrap();
        assert!(
            matches!(&plan.steps[..], [Step::AddPerson(bert), Step::PutDn(owned)] if owned.owner == Some(bert.id))
        );
    }
}

#[test]
fn a_dn_is_removed_only_when_the_file_says_so() {
    let plan = plan(&applied(), &file("[[dn]]\nnumber = \"1001\"\nabsent = true")).unwrap();
    assert!(matches!(&plan.steps[..], [Step::RemoveDn(number)] if number == "1001"));
}

#[test]
fn a_plan_names_owners_as_they_sign_in() {
    let bert = "[[person]]\nlogin = \"bert\"\nname = \"Bert\"\nroles = []\ndn = \"1001\"\npassword = \"long enough\"\n";
    let anna = "[[person]]\nlogin = \"anna\"\nname = \"Anna\"\nroles = [\"agent\"]\ndn = \"\"\n".to_owned();
    let plan = plan(&applied(), &file(&(anna + bert))).unwrap();
    let dn = plan.changes.iter().find(|change| change.object == "dn/1001").unwrap();
    let owner = |view: &Option<Value>| view.as_ref().unwrap()["owner"].clone();
    assert_eq!((owner(&dn.before), owner(&dn.after)), (json!("anna"), json!("bert")));
}

#[test]
fn a_person_without_roles_is_named() {
    for known in [Configuration::default(), applied()] {
        let said = error(&known, "[[person]]\nlogin = \"anna\"\nname = \"A\"\npassword = \"long enough\"");
        assert!(said.contains("person anna: roles is missing"), "{said}");
    }
}

#[test]
fn a_dn_has_one_owner() {
    let second = "[[person]]\nlogin = \"bert\"\nname = \"Bert\"\nroles = []\ndn = \"1001\"\npassword = \"long enough\"";
    assert!(error(&applied(), second).contains("another person's own"));
}

#[test]
fn a_new_password_of_a_phone_is_long_enough_and_one_that_it_has_stays_good() {
    let dn = |password: &str| format!("[[dn]]\nnumber = \"1001\"\npassword = \"{password}\"\n");
    for short in ["", "1", "1234567"] {
        assert!(error(&applied(), &dn(short)).contains("dn 1001: a password has at least 8"), "{short}");
    }
    let mut old = applied();
    let known = ha1("1001", "a.test", "1");
    (old.dns[0].dn.ha1_md5, old.dns[0].dn.ha1_sha256) = (known.md5, known.sha256);
    assert!(plan(&old, &file(&dn("1"))).is_ok(), "of before this rule");
    assert!(plan(&old, &file(&dn("12345678"))).is_ok());
}

#[test]
fn impossible_files_are_refused_with_what_is_wrong() {
    let empty = Configuration::default();
    assert!(error(&empty, "[[dn]]\nnumber = \"1\"\npassword = \"long enough\"").contains("realm"));
    assert!(error(&applied(), "[[dn]]\nnumber = \"1002\"").contains("a password is needed"));
    assert!(error(&applied(), "[[dn]]\nnumber = \"1 2\"\npassword = \"x\"").contains("make a number"));
    assert!(error(&empty, "[capture]\nframe_rate = 60").contains("from 1 to 15"));
    assert!(error(&empty, "[trace]\nkeep_days = 9999").contains("from 0 to"));
    assert!(
        error(&empty, "[[person]]\nlogin = \"a\"\nname = \"\"\nroles = []")
            .contains("password or one_time_password")
    );
}
