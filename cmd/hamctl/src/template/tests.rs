use release_api::DescribeReleaseResponse;

use super::{render, values};

const RELEASES: &str = r#"{"service":"svc","environment":"dev","releases":[
    {"releaseIndex":0,"releasedAt":"2021-06-23T08:42:22Z","releasedByName":"Jane Doe","releasedByEmail":"j@x.io",
     "intent":{"type":"Promote","releaseBranch":{},"promote":{"fromEnvironment":"staging"},"rollback":{}},
     "artifact":{"id":"master-1-2","application":{"message":"Useful bits","url":"https://git/1"},
                 "ci":{"start":"0001-01-01T00:00:00Z","end":"2021-06-23T10:00:00+02:00"},
                 "shuttle":{"plan":{}},
                 "stages":[{"id":"test","name":"Test","data":{"results":{"passed":7,"failed":0,"skipped":0}}}]}},
    {"releaseIndex":1,"releasedAt":"2021-06-22T08:42:22Z","releasedByName":"Jo","releasedByEmail":"",
     "intent":{"type":"ReleaseArtifact"},"artifact":{"id":"master-0-2","namespace":"team"}}]}"#;

fn rendered(template: &str) -> String {
    let described: DescribeReleaseResponse = serde_json::from_str(RELEASES).unwrap();
    match render(template, values::releases(&described)) {
        Ok(text) => text,
        Err(error) => error.sentence_with_reference(),
    }
}

#[test]
fn what_the_fields_scripts_use_works() {
    let cases = [
        ("{{ .Service }}/{{ .Environment }}", "svc/dev"),
        (
            "{{ range $k, $v := .Releases }}{{ $k }}={{ .Artifact.ID }};{{ end }}",
            "0=master-1-2;1=master-0-2;",
        ),
        (r#"{{ range .Releases }}{{ .ReleasedAt.Format "2006-01-02" }} {{ end }}"#, "2021-06-23 2021-06-22 "),
        ("{{ $r := index .Releases 0 }}{{ $r.Artifact.CI.End.Format dateFormat }}", "2021-06-23 10:00:00"),
        ("{{ range .Releases }}{{ rightPad .Artifact.ID 12 }}|{{ end }}", "master-1-2  |master-0-2  |"),
        (r#"{{ maxLength .Releases "releasedByName" }}"#, "8"),
        (r#"{{ add (maxLength .Releases "releasedByName") 2 }}"#, "10"),
        (
            r#"{{ range .Releases }}{{ rightPad .ReleasedByName (maxLength $.Releases "releasedByName") }}|{{ end }}"#,
            "Jane Doe|Jo      |",
        ),
        (
            "{{ range .Releases }}{{ .Intent | printIntent }};{{ end }}",
            "promotion from staging;release of an artifact;",
        ),
        (
            "{{ range .Releases }}{{ if ne (len .Artifact.Namespace) 0 -}} {{ .Artifact.Namespace }} {{- end }}{{ end }}",
            "team",
        ),
        (
            "{{ with index .Releases 0 }}{{ range .Artifact.Stages }}{{ .Data.Results.Passed }}{{ end }}{{ end }}",
            "7",
        ),
        (
            "{{ range .Releases }}{{ .Intent.Type }}:{{ .Intent.Promote.FromEnvironment }} {{ end }}",
            "Promote:staging ReleaseArtifact: ",
        ),
        (r#"{{ printf "%s!" .Service }}"#, "svc!"),
    ];
    for (template, expected) in cases {
        assert_eq!(rendered(template), expected, "{template}");
    }
    assert!(
        rendered("{{ range .Releases }}{{ humanizeTime .ReleasedAt }};{{ end }}").ends_with(" years ago;")
    );
}

#[test]
fn a_wrong_template_is_a_short_sentence() {
    let cases = [
        ("{{ .Nope }}", "the template cannot be used: no field Nope"),
        ("{{ rightPad 7 7 }}", "the template cannot be used: rightPad needs a text and a width"),
        ("{{ humanizeTime .Service }}", "the template cannot be used: 'svc' is not a time"),
    ];
    for (template, expected) in cases {
        assert_eq!(rendered(template), expected);
    }
    assert!(rendered("{{ end }}").starts_with("the template cannot be used: "));
}
