//! `artifact.json`: what CI recorded about one build.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The file's name at the top of an artifact's zip and in each service directory.
pub const FILE_NAME: &str = "artifact.json";

/// The zero time of older writers, `0001-01-01T00:00:00Z`: "not known".
pub fn zero_time() -> DateTime<FixedOffset> {
    let midnight = NaiveDate::from_ymd_opt(1, 1, 1).and_then(|date| date.and_hms_opt(0, 0, 0));
    midnight.unwrap_or_default().and_utc().fixed_offset()
}

/// One build: who changed what, which CI job built it, and what each stage found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Spec {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub squad: String,
    pub application: Repository,
    pub ci: Ci,
    pub shuttle: Shuttle,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub stages: Vec<Stage>,
}

/// A commit of a source repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Repository {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub branch: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sha: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author_email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub committer_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub committer_email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: String,
}

/// The CI job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ci {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub job_url: String,
    pub start: DateTime<FixedOffset>,
    pub end: DateTime<FixedOffset>,
}

impl Default for Ci {
    fn default() -> Self {
        Self { job_url: String::new(), start: zero_time(), end: zero_time() }
    }
}

/// The shuttle plan that the build used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Shuttle {
    pub plan: Repository,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub shuttle_version: String,
}

/// One step of the CI job and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub data: StageData,
}

/// What a stage found; the variant follows from the stage's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StageData {
    Build(Image),
    Push(Image),
    Test(Test),
    SnykCode(SnykCode),
    SnykDocker(SnykDocker),
    /// A stage that this version does not know, kept as it is.
    Unknown(Value),
}

/// An image that was built or pushed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Image {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
}

/// A test run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Test {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    pub results: TestResults,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestResults {
    pub passed: i64,
    pub failed: i64,
    pub skipped: i64,
}

/// A security scan of source code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnykCode {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub snyk_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub language: String,
    pub vulnerabilities: Vulnerabilities,
}

/// A security scan of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnykDocker {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub snyk_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub base_image: String,
    pub vulnerabilities: Vulnerabilities,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vulnerabilities {
    pub high: i64,
    pub medium: i64,
    pub low: i64,
}

/// Why a text is no artifact spec.
#[derive(Debug, thiserror::Error)]
#[error("artifact.json cannot be read: {0}")]
pub struct SpecError(#[from] serde_json::Error);

impl StageData {
    /// Stage id and display name; `None` for stages that this version does not know.
    pub fn id_and_name(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Build(_) => ("build", "Build"),
            Self::Push(_) => ("push", "Push"),
            Self::Test(_) => ("test", "Test"),
            Self::SnykCode(_) => ("snyk-code", "Security Scan - Code"),
            Self::SnykDocker(_) => ("snyk-docker", "Security Scan - Docker"),
            Self::Unknown(_) => return None,
        })
    }
}

impl Stage {
    /// A stage of a known kind; its id and name follow from the data. `None` for [`StageData::Unknown`].
    pub fn new(data: StageData) -> Option<Self> {
        let (id, name) = data.id_and_name()?;
        Some(Self { id: id.to_owned(), name: name.to_owned(), data })
    }
}

impl<'de> Deserialize<'de> for Stage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(default)]
        struct Raw {
            id: String,
            name: String,
            data: Value,
        }
        impl Default for Raw {
            fn default() -> Self {
                Self { id: String::new(), name: String::new(), data: Value::Null }
            }
        }
        fn read<T: serde::de::DeserializeOwned, E: serde::de::Error>(id: &str, data: Value) -> Result<T, E> {
            T::deserialize(data).map_err(|error| E::custom(format!("stage '{id}': {error}")))
        }
        let Raw { id, name, data } = Raw::deserialize(deserializer)?;
        let data = match id.as_str() {
            "build" => StageData::Build(read(&id, data)?),
            "push" => StageData::Push(read(&id, data)?),
            "test" => StageData::Test(read(&id, data)?),
            "snyk-code" => StageData::SnykCode(read(&id, data)?),
            "snyk-docker" => StageData::SnykDocker(read(&id, data)?),
            _ => StageData::Unknown(data),
        };
        Ok(Self { id, name, data })
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Stage>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Spec {
    pub fn from_json(json: &[u8]) -> Result<Self, SpecError> {
        Ok(serde_json::from_slice(json)?)
    }

    /// Two-space indentation and a trailing newline, as the file is written.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("a spec has only texts, numbers and times");
        json.push('\n');
        json
    }

    /// Puts a stage in place of the one with the same id, or at the end.
    pub fn set_stage(&mut self, stage: Stage) {
        match self.stages.iter_mut().find(|known| known.id == stage.id) {
            Some(known) => *known = stage,
            None => self.stages.push(stage),
        }
    }

    /// The sum over the `snyk-code` and `snyk-docker` stages.
    pub fn vulnerabilities(&self) -> Vulnerabilities {
        let mut sum = Vulnerabilities::default();
        for stage in &self.stages {
            let found = match &stage.data {
                StageData::SnykCode(scan) => scan.vulnerabilities,
                StageData::SnykDocker(scan) => scan.vulnerabilities,
                _ => continue,
            };
            sum.high = sum.high.saturating_add(found.high);
            sum.medium = sum.medium.saturating_add(found.medium);
            sum.low = sum.low.saturating_add(found.low);
        }
        sum
    }

    /// When CI ended, `None` when that was not recorded.
    pub fn ended_at(&self) -> Option<DateTime<Utc>> {
        (self.ci.end != zero_time()).then(|| self.ci.end.to_utc())
    }
}

/// The beginning of the ids of a branch's artifacts. Longer branch names may
/// share it, so a spec's own branch decides.
pub fn id_prefix_of_branch(branch: &str) -> String {
    format!("{}-", branch.replace('/', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{
  "id": "master-0017d995e3-67e9d69164",
  "service": "example",
  "namespace": "team",
  "squad": "aura",
  "application": {
    "branch": "master",
    "sha": "0017d995e32e3d1998395d971b969bcf682d2085",
    "authorName": "Jane Doe",
    "authorEmail": "jane@example.com",
    "committerName": "John Roe",
    "committerEmail": "john@example.com",
    "message": "fix something",
    "name": "example-service",
    "url": "https://git.example.com/example",
    "provider": "GitHub"
  },
  "ci": {
    "jobUrl": "https://ci.example.com/job/84",
    "start": "2019-03-29T13:47:15.259380775+01:00",
    "end": "2019-03-29T13:49:57.686299407+01:00"
  },
  "shuttle": {
    "plan": {
      "message": "Support new feature",
      "url": "git://git@example.com:plan.git"
    },
    "shuttleVersion": "v0.1"
  },
  "stages": [
    {
      "id": "build",
      "name": "Build",
      "data": {
        "image": "quay.example.com/example",
        "tag": "1",
        "dockerVersion": "18.09.3"
      }
    },
    {
      "id": "push",
      "name": "Push",
      "data": {
        "image": "quay.example.com/example",
        "tag": "1"
      }
    },
    {
      "id": "test",
      "name": "Test",
      "data": {
        "url": "https://ci.example.com/tests",
        "results": {
          "passed": 10,
          "failed": 0,
          "skipped": 1
        }
      }
    },
    {
      "id": "snyk-code",
      "name": "Security Scan - Code",
      "data": {
        "language": "go",
        "vulnerabilities": {
          "high": 1,
          "medium": 2,
          "low": 3
        }
      }
    },
    {
      "id": "snyk-docker",
      "name": "Security Scan - Docker",
      "data": {
        "tag": "1",
        "baseImage": "alpine",
        "vulnerabilities": {
          "high": 10,
          "medium": 20,
          "low": 30
        }
      }
    },
    {
      "id": "lint",
      "name": "Lint",
      "data": {
        "anything": [
          1,
          null
        ]
      }
    }
  ]
}
"#;

    #[test]
    fn a_full_file_is_read_and_written_back_byte_for_byte() {
        let spec = Spec::from_json(FULL.as_bytes()).unwrap();
        assert_eq!(spec.to_json(), FULL);
        assert_eq!(spec.vulnerabilities(), Vulnerabilities { high: 11, medium: 22, low: 33 });
    }

    #[test]
    fn an_empty_spec_keeps_its_nested_objects_and_the_zero_time() {
        let json = Spec::default().to_json();
        let compact: String = json.split_whitespace().collect();
        assert_eq!(
            compact,
            r#"{"application":{},"ci":{"start":"0001-01-01T00:00:00Z","end":"0001-01-01T00:00:00Z"},"shuttle":{"plan":{}}}"#
        );
        let read = Spec::from_json(json.as_bytes()).unwrap();
        assert_eq!(read, Spec::default());
        assert_eq!(read.ended_at(), None);
    }

    #[test]
    fn an_unknown_top_level_field_is_named() {
        let error = Spec::from_json(br#"{"id":"a","colour":"red"}"#).unwrap_err();
        assert!(error.to_string().contains("colour"), "{error}");
    }

    #[test]
    fn a_broken_stage_is_named() {
        let error = Spec::from_json(br#"{"stages":[{"id":"test","data":{"results":{"passed":"many"}}}]}"#)
            .unwrap_err();
        assert!(error.to_string().contains("stage 'test'"), "{error}");
    }

    #[test]
    fn null_stages_are_none() {
        assert_eq!(Spec::from_json(br#"{"stages":null}"#).unwrap(), Spec::default());
    }

    #[test]
    fn a_stage_that_comes_again_replaces_the_first() {
        let stage =
            |tag: &str| Stage::new(StageData::Build(Image { tag: tag.into(), ..Image::default() })).unwrap();
        let mut spec = Spec::default();
        spec.set_stage(stage("1"));
        spec.set_stage(stage("2"));
        assert_eq!(spec.stages, [stage("2")]);
    }

    #[test]
    fn ids_of_a_branch_start_alike() {
        assert_eq!(id_prefix_of_branch("feature/new/thing"), "feature_new_thing-");
    }
}
