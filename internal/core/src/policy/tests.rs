use super::*;

const FIELD: &str = r#"{
  "service": "example",
  "autoReleases": [
    {
      "id": "auto-release-master-dev",
      "branch": "master",
      "environment": "dev"
    }
  ],
  "branchRestrictions": [
    {
      "id": "branch-restriction-prod",
      "branchRegex": "^master$",
      "environment": "prod"
    }
  ]
}
"#;

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn regex(pattern: &str) -> BranchRegex {
    BranchRegex::new(pattern).unwrap()
}

fn global(text: &str) -> GlobalRestrictions {
    text.parse().unwrap()
}

fn example() -> Policies {
    Policies::from_file(&name("example"), FIELD.as_bytes()).unwrap()
}

fn apply(policies: &mut Policies, restriction: &str, environment: &str) {
    let none = GlobalRestrictions::default();
    policies.apply_branch_restriction(&regex(restriction), &name(environment), &none).unwrap();
}

#[test]
fn the_fields_file_is_read_and_written_back_byte_for_byte() {
    assert_eq!(example().to_file(), FIELD);
    assert_eq!(example().ids().collect::<Vec<_>>(), ["auto-release-master-dev", "branch-restriction-prod"]);
    assert_eq!(Policies::none(&name("svc")).to_file(), "{\n  \"service\": \"svc\"\n}\n");
    for sparse in ["{}", r#"{"service":"other"}"#, r#"{"autoReleases":null,"branchRestrictions":[]}"#] {
        let policies = Policies::from_file(&name("svc"), sparse.as_bytes()).unwrap();
        assert!(policies.is_empty(), "{sparse}");
        assert_eq!(policies, Policies::none(&name("svc")));
    }
}

#[test]
fn a_file_that_cannot_be_used_names_file_and_field() {
    let huge = format!("{{\"service\":\"{}\"}}", "x".repeat(10 << 20));
    let many: Vec<String> =
        (0..=MAX_POLICIES).map(|n| format!(r#"{{"id":"x{n}","branch":"m","environment":"e{n}"}}"#)).collect();
    let many = format!(r#"{{"autoReleases":[{}]}}"#, many.join(","));
    let deep = format!("{{\"service\":{}", "[".repeat(100_000));
    for (contents, problem) in [
        ("", "it is no JSON object"),
        ("{", "EOF while parsing an object"),
        ("nonsense", "it is no JSON object"),
        ("{}{}", "trailing characters"),
        ("[]", "it is no JSON object"),
        (&deep, "service: invalid type: sequence"),
        ("null", "it is no JSON object"),
        (r#"{"locks":[]}"#, "locks: unknown field `locks`"),
        (r#"{"service":1}"#, "service: invalid type: integer `1`"),
        (r#"{"autoReleases":{}}"#, "autoReleases: invalid type: map"),
        (r#"{"autoReleases":[{"id":"x","branch":"m"}]}"#, "autoReleases[0]: missing field `environment`"),
        (
            r#"{"autoReleases":[{"id":"x","branch":"m","environment":"e","force":true}]}"#,
            "autoReleases[0].force: unknown field `force`",
        ),
        (
            r#"{"autoReleases":[{"id":"x","branch":"m","environment":"../e"}]}"#,
            "autoReleases[0].environment: must not contain '/'",
        ),
        (
            r#"{"branchRestrictions":[{"id":"x","branchRegex":[],"environment":"e"}]}"#,
            "branchRestrictions[0].branchRegex: invalid type: sequence",
        ),
        (
            r#"{"branchRestrictions":[{"id":"x","branchRegex":"a","environment":"e"},{"id":"y","branchRegex":"b","environment":"e"}]}"#,
            "branchRestrictions[1].environment: 'e' is there twice",
        ),
        (&many, "autoReleases has more than 200 entries"),
        (&huge, "it is longer than 262144 bytes"),
    ] {
        let error = Policies::from_file(&name("svc"), contents.as_bytes()).unwrap_err();
        assert_eq!(error.file, "policies/svc.json");
        assert!(error.problem.starts_with(problem), "{contents:.60}: {}", error.problem);
        assert!(error.to_string().contains("policies/svc.json cannot be used"), "{error}");
    }
    assert!(Policies::from_file(&name("svc"), b"{\"service\":\"\xff\"}").is_err());
}

#[test]
fn a_broken_regex_concerns_its_environment_only_and_is_named() {
    let contents = r#"{"branchRestrictions":[{"id":"a","branchRegex":"^m$","environment":"dev"},
        {"id":"b","branchRegex":"(a{500}){500}","environment":"prod"}]}"#;
    let policies = Policies::from_file(&name("svc"), contents.as_bytes()).unwrap();
    let none = GlobalRestrictions::default();
    assert!(policies.restriction(&name("dev"), &none).unwrap().is_some());
    let error = policies.restriction(&name("prod"), &none).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("policies/svc.json cannot be used: branchRestrictions[1].branchRegex: is too complex"),
        "{error}"
    );
    // A global one is asked instead, so it does not matter.
    assert!(policies.restriction(&name("prod"), &global("prod=x")).unwrap().unwrap().id.is_none());
}

#[test]
fn ids_follow_from_what_is_applied() {
    let mut policies = Policies::none(&name("svc"));
    let none = GlobalRestrictions::default();
    let auto = policies.apply_auto_release("feature/x", &name("dev"), &none).unwrap();
    assert_eq!(auto.id, "auto-release-feature/x-dev");
    let restriction = policies.apply_branch_restriction(&regex("^master$"), &name("prod"), &none).unwrap();
    assert_eq!(restriction.id, "branch-restriction-prod");
}

#[test]
fn applying_again_replaces_in_place() {
    let none = GlobalRestrictions::default();
    let mut policies = example();
    policies.apply_auto_release("main", &name("staging"), &none).unwrap();
    policies.apply_auto_release("develop", &name("dev"), &none).unwrap();
    apply(&mut policies, "^main$", "prod");
    assert_eq!(
        policies.ids().collect::<Vec<_>>(),
        ["auto-release-develop-dev", "auto-release-main-staging", "branch-restriction-prod"]
    );
    assert_eq!(policies.branch_restrictions()[0].branch_regex, "^main$");
    let before = policies.clone();
    apply(&mut policies, "^main$", "prod");
    assert_eq!(policies, before, "the same again changes nothing");
}

/// For `prod`: an auto-release and a restriction that are there, the global ones, a new auto-release
/// (`Ok`) or restriction (`Err`), and parts of the conflicts.
struct Case<'a>(
    Option<&'a str>,
    Option<&'a str>,
    &'a GlobalRestrictions,
    Result<&'a str, &'a str>,
    &'a [&'a str],
);

#[test]
fn conflicts_are_found_in_both_directions_and_all_are_named() {
    let none = GlobalRestrictions::default();
    let strict = global("prod=^master$,dev=^(master|develop)$");
    let cases = [
        // An auto-release against a restriction.
        Case(None, Some("^master$"), &none, Ok("master"), &[]),
        Case(None, Some("^master$"), &none, Ok("develop"), &["policy 'branch-restriction-prod' wants"]),
        Case(None, None, &strict, Ok("develop"), &["the server's restriction for all services wants"]),
        Case(None, None, &strict, Ok("master"), &[]),
        // The global one wins over the local one, whichever is stricter.
        Case(None, Some("^develop$"), &strict, Ok("develop"), &["the server's restriction"]),
        Case(None, Some("^develop$"), &strict, Ok("master"), &[]),
        // A restriction against an auto-release.
        Case(Some("master"), None, &none, Err("^master$"), &[]),
        Case(Some("develop"), None, &none, Err("^master$"), &["policy 'auto-release-develop-prod' releases"]),
        // Replacing is judged by the new one.
        Case(Some("master"), Some("master"), &none, Err("^develop$"), &["auto-release-master-prod"]),
        // A restriction against a global one.
        Case(None, None, &strict, Err("^master$"), &[]),
        Case(None, None, &strict, Err("master"), &["the server restricts 'prod'"]),
        Case(
            Some("develop"),
            None,
            &strict,
            Err("^main$"),
            &["the server restricts", "auto-release-develop-prod"],
        ),
    ];
    let prod = name("prod");
    for (index, Case(auto, restriction, global, new, expected)) in cases.into_iter().enumerate() {
        let mut policies = Policies::none(&name("svc"));
        policies.auto_releases.extend(auto.map(|branch| AutoRelease::new(branch, &prod)));
        policies.branch_restrictions.extend(restriction.map(|r| BranchRestriction::new(&regex(r), &prod)));
        let before = policies.clone();
        let result = match new {
            Ok(branch) => policies.apply_auto_release(branch, &prod, global).map(drop),
            Err(pattern) => policies.apply_branch_restriction(&regex(pattern), &prod, global).map(drop),
        };
        match (result, expected) {
            (Ok(()), []) => {}
            (Err(ApplyError::Conflict(conflicts)), expected) => {
                assert_eq!(conflicts.len(), expected.len(), "case {index}: {conflicts:?}");
                for (conflict, part) in conflicts.iter().zip(expected) {
                    assert!(conflict.contains(part), "case {index}: {conflict}");
                }
                assert_eq!(policies, before, "case {index}");
            }
            (result, _) => panic!("case {index}: {result:?}"),
        }
    }
}

#[test]
fn another_environment_is_no_conflict() {
    let mut policies = example();
    policies.apply_auto_release("anything", &name("dev"), &global("prod=^master$")).unwrap();
    apply(&mut policies, "^other$", "staging");
}

#[test]
fn the_number_of_policies_is_bounded() {
    let none = GlobalRestrictions::default();
    let mut policies = Policies::none(&name("svc"));
    for n in 0..MAX_POLICIES {
        policies.apply_auto_release("m", &name(&format!("e{n}")), &none).unwrap();
        apply(&mut policies, "m", &format!("e{n}"));
    }
    let too_many = ApplyError::TooMany("svc".into());
    assert_eq!(policies.apply_auto_release("m", &name("x"), &none), Err(too_many.clone()));
    assert_eq!(policies.apply_branch_restriction(&regex("m"), &name("x"), &none), Err(too_many));
    policies.apply_auto_release("master", &name("e0"), &none).unwrap();
    assert_eq!(Policies::from_file(&name("svc"), policies.to_file().as_bytes()), Ok(policies));
}

#[test]
fn deleting_counts_what_was_there() {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    for (given, count, left) in [
        (ids(&["auto-release-master-dev"]), 1, 1),
        (ids(&["auto-release-master-dev", "branch-restriction-prod"]), 2, 0),
        (ids(&["branch-restriction-prod", "branch-restriction-prod", "nonsense"]), 1, 1),
        (ids(&["nonsense", "", "AUTO-RELEASE-MASTER-DEV"]), 0, 2),
        (ids(&[]), 0, 2),
    ] {
        let mut policies = example();
        assert_eq!(policies.delete(&given), count, "{given:?}");
        assert_eq!(policies.ids().count(), left, "{given:?}");
        assert_eq!(policies.is_empty(), left == 0);
    }
}

#[test]
fn commit_messages_are_the_fields_and_no_releases() {
    let messages = [
        apply_message(&name("svc"), AutoRelease::KIND, &name("dev")),
        apply_message(&name("svc"), BranchRestriction::KIND, &name("prod")),
        delete_message(&name("svc")),
    ];
    assert_eq!(
        messages,
        [
            "[svc] policy update: apply auto-release in 'dev'\n",
            "[svc] policy update: apply branch-restriction in 'prod'\n",
            "[svc] policy update: delete policies\n",
        ]
    );
    for message in messages {
        assert_eq!(crate::commit_message::ReleaseMessage::parse(&message), None);
    }
}
