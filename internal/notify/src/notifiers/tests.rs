use release_core::{
    Person, Secret,
    rollout::{ConditionError, ContainerError, JobFailed, PodFailed, Report, Succeeded},
};
use reqwest::Url;
use uuid::Uuid;

use super::*;

fn url() -> Url {
    Url::parse("https://api.example.com").unwrap()
}

fn config() -> Config {
    let token = Secret::new("hunter2");
    Config {
        slack: Some(SlackConfig { token: token.clone(), api_url: url(), mute: Mute::default() }),
        grafana: vec![GrafanaConfig { environment: "dev".into(), api_key: token.clone(), base_url: url() }],
        github: Some(GithubConfig { token, api_url: url(), owner: "acme".into() }),
        people: People { email_suffix: Some("@example.com".into()), ..People::default() },
    }
}

fn release(intent: Intent) -> Release {
    let name = |name: &str| Name::new(name).unwrap();
    Release {
        release_id: Uuid::nil(),
        service: name("api"),
        environment: name("dev"),
        namespace: name("dev"),
        artifact_id: name("master-1"),
        branch: "master".into(),
        actor: Person::new("John", "john@example.com"),
        intent,
        enqueued_at: DateTime::UNIX_EPOCH,
    }
}

fn spec() -> Spec {
    let mut spec = Spec { squad: "aura".into(), ..Spec::default() };
    spec.application.author_name = "Jane".into();
    spec.application.author_email = "jane@example.com".into();
    spec.application.message = "Say <hello>\n\nmore".into();
    spec.application.name = "api-source".into();
    spec.application.sha = "c0ffee".into();
    spec.application.url = "https://git.example.com/1".into();
    spec.application.provider = "gitHub".into();
    spec
}

fn made(config: Config, release: &Release, spec: &Spec) -> Vec<Notification> {
    let released = Released { release, spec, at: DateTime::from_timestamp(1000, 0).unwrap() };
    Notifiers::new(config).unwrap().of_release(released)
}

fn lanes_and_recipients(notifications: &[Notification]) -> Vec<String> {
    let describe = |notification: &Notification| match notification {
        Notification::Slack(post) => match &post.to {
            Recipient::Channel(to) | Recipient::ChannelIfAny(to) | Recipient::Person(to) => to.clone(),
        },
        other => other.lane(),
    };
    notifications.iter().map(describe).collect()
}

#[test]
fn a_release_is_told_to_everybody_concerned() {
    let release = release(Intent::Promote { from_environment: "qa".into() });
    let made = made(config(), &release, &spec());
    let expected = ["#releases-dev", "#squad-aura-releases-dev", "jane@example.com", "grafana/dev", "github"];
    assert_eq!(lanes_and_recipients(&made), expected);
    let Notification::Slack(post) = &made[0] else { panic!() };
    assert_eq!(
        post.attachment.text,
        "Artifact: <https://git.example.com/1|*master-1*>\nAuthor: *Jane*\nReleaser: *John* (Promote qa)\n\
         > Say &lt;hello&gt;\n> \n> more"
    );
    let Notification::Grafana(annotation) = &made[3] else { panic!() };
    assert_eq!(annotation.tags, ["deployment", "api", "dev"]);
    assert_eq!(annotation.when, 1000);
    let tag = Tag { repository: "api-source".into(), name: "dev".into(), sha: "c0ffee".into() };
    assert_eq!(made[4], Notification::Github(tag));

    let keys: std::collections::BTreeSet<_> = made.iter().map(Notification::key).collect();
    assert_eq!(keys.len(), made.len());
}

#[test]
fn the_sentence_names_who_and_what() {
    let (release, spec) = (release(Intent::ReleaseArtifact), spec());
    let released = Released { release: &release, spec: &spec, at: Utc::now() };
    assert_eq!(released.sentence(), "Release [dev]: api (master-1) by John, author Jane");
}

type Change = fn(&mut Config, &mut Release, &mut Spec);

#[test]
fn what_is_not_configured_muted_or_unknown_is_left_out() {
    let all = ["#releases-dev", "#squad-aura-releases-dev", "jane@example.com", "grafana/dev", "github"];
    let without = |left_out: &[&str]| -> Vec<&str> {
        all.into_iter().filter(|name| !left_out.contains(name)).collect()
    };
    let cases: [(&str, Change, &[&str]); 10] = [
        ("no slack", |config, _, _| config.slack = None, &all[..3]),
        ("no grafana", |config, _, _| config.grafana.clear(), &["grafana/dev"]),
        ("grafana of others", |config, _, _| config.grafana[0].environment = "prod".into(), &["grafana/dev"]),
        ("no github", |config, _, _| config.github = None, &["github"]),
        ("another provider", |_, _, spec| spec.application.provider = "GitLab".into(), &["github"]),
        ("a hostile repository", |_, _, spec| spec.application.name = "..".into(), &["github"]),
        ("no squad", |_, _, spec| spec.squad.clear(), &["#squad-aura-releases-dev"]),
        ("a stranger", |_, _, spec| spec.application.author_email = "e@x.io".into(), &["jane@example.com"]),
        (
            "muted",
            |config, _, _| config.slack.as_mut().unwrap().mute.release_processed = true,
            &["jane@example.com"],
        ),
        (
            "auto-release muted",
            |config, release, _| {
                config.slack.as_mut().unwrap().mute.policy = true;
                release.intent = Intent::AutoRelease;
            },
            &["jane@example.com"],
        ),
    ];
    for (what, change, left_out) in cases {
        let (mut config, mut release, mut spec) = (config(), release(Intent::ReleaseArtifact), spec());
        change(&mut config, &mut release, &mut spec);
        assert_eq!(lanes_and_recipients(&made(config, &release, &spec)), without(left_out), "{what}");
    }
}

#[test]
fn a_failure_is_told_to_its_actor() {
    let notifiers = Notifiers::new(config()).unwrap();
    for (intent, title) in [
        (Intent::ReleaseArtifact, "Release of api to dev failed"),
        (Intent::AutoRelease, "Auto-release of api to dev failed"),
    ] {
        let release = release(intent);
        let made = notifiers.of_failure(Failed { release: &release, reason: "it is <frozen>" });
        let [Notification::Slack(post)] = &made[..] else { panic!("{made:?}") };
        assert_eq!(post.to, Recipient::Person("john@example.com".into()));
        assert_eq!((post.attachment.title.as_str(), post.attachment.color), (title, Colour::Red));
        assert_eq!(post.attachment.text, "Artifact: *master-1*\n> it is &lt;frozen&gt;");
    }
}

#[test]
fn what_becomes_of_a_release_is_told_to_its_author_its_squad_and_the_alert_channel() {
    let failed = PodFailed {
        pod_name: "api-7d-x".into(),
        namespace: "dev".into(),
        errors: vec![ContainerError {
            name: "api".into(),
            message: "panic: <no>\nbye".into(),
            kind: "CrashLoopBackOff".into(),
        }],
        author_email: "jane@example.com".into(),
        environment: "dev".into(),
        artifact_id: "master-1".into(),
        squad: "aura".into(),
        alert_squad: "#squad-aura-alerts".into(),
    };
    let succeeded = Succeeded {
        name: "api".into(),
        namespace: "dev".into(),
        resource_type: "Deployment".into(),
        available_pods: 2,
        replicas: 2,
        artifact_id: "master-1".into(),
        author_email: "stranger@home.io".into(),
        squad: String::new(),
        environment: "dev".into(),
    };
    let job = JobFailed {
        job_name: "migrate".into(),
        errors: vec![ConditionError { reason: "BackoffLimitExceeded".into(), message: "gave up".into() }],
        author_email: "jane@example.com".into(),
        environment: "dev".into(),
        ..JobFailed::default()
    };
    let notifiers = Notifiers::new(config()).unwrap();
    let made = notifiers.of_rollout(&Report::PodFailed(failed.clone()));
    let everybody = ["jane@example.com", "#squad-aura-releases-dev", "#squad-aura-alerts"];
    assert_eq!(lanes_and_recipients(&made), everybody);
    let Notification::Slack(post) = &made[0] else { panic!() };
    assert_eq!(post.attachment.color, Colour::Red);
    assert_eq!(post.attachment.title, "Pod api-7d-x fails in dev");
    assert_eq!(
        post.attachment.text,
        "Artifact: *master-1*\nNamespace: *dev*\n*api*: CrashLoopBackOff\n> panic: &lt;no&gt;\n> bye"
    );

    let made = notifiers.of_rollout(&Report::Succeeded(succeeded.clone()));
    assert!(made.is_empty(), "nobody is known for this address, and it has no squad");
    let succeeded = Succeeded { squad: "aura".into(), ..succeeded };
    let made = notifiers.of_rollout(&Report::Succeeded(succeeded));
    let [Notification::Slack(post)] = &made[..] else { panic!("{made:?}") };
    assert_eq!((post.attachment.color, post.attachment.title.as_str()), (Colour::Green, "api runs in dev"));
    let expected = "Artifact: *master-1*\nDeployment in namespace *dev*: 2 of 2 available";
    assert_eq!(post.attachment.text, expected);

    let made = notifiers.of_rollout(&Report::JobFailed(job));
    let [Notification::Slack(post)] = &made[..] else { panic!("{made:?}") };
    assert!(post.attachment.text.ends_with("*BackoffLimitExceeded*\n> gave up"), "{}", post.attachment.text);

    let mut muted = config();
    muted.slack.as_mut().unwrap().mute.k8s = true;
    assert!(Notifiers::new(muted).unwrap().of_rollout(&Report::PodFailed(failed)).is_empty());
}

#[test]
fn no_secret_is_shown_or_kept() {
    let notifiers = Notifiers::new(config()).unwrap();
    assert!(!format!("{notifiers:?} {:?}", config()).contains("hunter2"));
    let made = made(config(), &release(Intent::ReleaseArtifact), &spec());
    let kept = serde_json::to_string(&made).unwrap();
    assert!(!kept.contains("hunter2"));
    assert_eq!(serde_json::from_str::<Vec<Notification>>(&kept).unwrap(), made);
}
