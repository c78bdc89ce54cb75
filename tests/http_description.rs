//! The API describes itself completely, and the page that shows it needs no other server.

use std::collections::BTreeSet;

use duynhat_server::http::{HttpLimits, openapi_json};
use duynhat_test_support::http::{Server, open};
use simd_json::OwnedValue;
use simd_json::prelude::*;

const ROUTES: [(&str, &[&str], &[&str]); 18] = [
    (
        "/v1/checks",
        &["post"],
        &["200", "202", "400", "408", "409", "410", "413", "415", "422", "429", "500", "503", "507"],
    ),
    ("/v1/checks/{application}", &["get", "delete"], &["200", "400", "404", "410", "500", "503"]),
    ("/v1/checks/{application}/explanation", &["get"], &["200", "400", "404", "500", "503"]),
    (
        "/v1/checks/{application}/approval",
        &["post"],
        &["200", "400", "404", "408", "409", "413", "415", "422", "429", "500", "503", "507"],
    ),
    ("/v1/exceptions", &["get"], &["200", "500", "503"]),
    ("/v1/identify", &["post"], &["200", "400", "408", "413", "415", "422", "429", "500", "503"]),
    ("/v1/verify", &["post"], &["200", "400", "404", "408", "413", "415", "422", "429", "500", "503"]),
    ("/v1/cases", &["get"], &["200", "400", "500", "503"]),
    ("/v1/cases/{application}", &["get"], &["200", "400", "404", "500", "503"]),
    (
        "/v1/cases/{application}/verdicts",
        &["post"],
        &["200", "400", "404", "408", "409", "413", "415", "422", "429", "500", "503", "507"],
    ),
    (
        "/v1/cases/{application}/merge",
        &["post"],
        &["200", "400", "404", "408", "409", "413", "415", "422", "429", "500", "503", "507"],
    ),
    (
        "/v1/cases/{application}/unmerge",
        &["post"],
        &["200", "400", "404", "408", "409", "413", "415", "422", "429", "500", "503", "507"],
    ),
    ("/v1/frauds", &["get"], &["200", "500", "503"]),
    ("/v1/subjects/{subject}", &["delete"], &["200", "400", "404", "409", "429", "500", "503", "507"]),
    ("/healthz", &["get"], &["200"]),
    ("/readyz", &["get"], &["200", "503"]),
    ("/metrics", &["get"], &["200"]),
    ("/openapi.json", &["get"], &["200"]),
];

fn description() -> OwnedValue {
    simd_json::to_owned_value(&mut openapi_json().into_bytes()).unwrap()
}

fn names(object: &OwnedValue) -> Vec<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

/// Every value under a name, anywhere.
fn everywhere<'a>(value: &'a OwnedValue, name: &str, found: &mut Vec<&'a OwnedValue>) {
    if let Some(object) = value.as_object() {
        for (key, member) in object.iter() {
            if key == name {
                found.push(member);
            }
            everywhere(member, name, found);
        }
    }
    for element in value.as_array().into_iter().flatten() {
        everywhere(element, name, found);
    }
}

#[test]
fn every_route_is_described_with_its_answers() {
    let description = description();
    assert!(description.get_str("openapi").is_some_and(|version| version.starts_with("3.1")));
    let paths = description.get("paths").unwrap();
    let known: BTreeSet<_> = ROUTES.iter().map(|(path, ..)| (*path).to_owned()).collect();
    assert_eq!(names(paths).into_iter().collect::<BTreeSet<_>>(), known);
    for (path, methods, statuses) in ROUTES {
        for method in methods {
            let operation = paths.get(path).and_then(|item| item.get(*method)).expect(path);
            for name in ["summary", "operationId"] {
                assert!(operation.get_str(name).is_some_and(|text| !text.is_empty()), "{method} {path} has no {name}");
            }
            let responses = operation.get("responses").unwrap();
            for status in statuses {
                let response = responses.get(*status).unwrap_or_else(|| panic!("{method} {path} lacks {status}"));
                assert!(response.get_str("description").is_some_and(|text| !text.is_empty()));
                let problem = response.get("content").and_then(|content| content.get("application/problem+json"));
                let error = status.starts_with(['4', '5']) && path != "/readyz";
                assert_eq!(problem.is_some(), error, "{method} {path} {status}");
                if let Some(problem) = problem {
                    let example = problem.get("example").expect("an example");
                    assert_eq!(example.get_u64("status").unwrap().to_string(), *status);
                }
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_field_is_explained() {
    let description = description();
    let mut references = Vec::new();
    everywhere(&description, "$ref", &mut references);
    assert!(references.len() > 10);
    let schemas = description.get("components").and_then(|components| components.get("schemas")).unwrap();
    for reference in references {
        let name = reference.as_str().unwrap().strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas.contains_key(name), "{name} is not described");
    }
    let mut fields = 0;
    for (name, schema) in schemas.as_object().unwrap().iter() {
        for (field, property) in schema.get_object("properties").into_iter().flat_map(|p| p.iter()) {
            let mut texts = Vec::new();
            everywhere(property, "description", &mut texts);
            // A bare reference is explained by what it leads to.
            assert!(!texts.is_empty() || property.contains_key("$ref"), "{name}.{field} is not explained");
            fields += 1;
        }
    }
    assert!(fields > 50, "{fields}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_all_its_files_come_from_this_server() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    let served = server.get("/openapi.json").await;
    assert_eq!((served.status, served.header("content-type")), (200, "application/json"));
    assert_eq!(served.json, description());
    let page = server.get("/docs").await;
    assert_eq!(page.status, 200, "{}", page.text);
    let quoted = |text: &str, attribute: &str| -> Vec<String> {
        text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    let files: Vec<_> = [quoted(&page.text, "src=\""), quoted(&page.text, "href=\"")].concat();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert!(!file.contains("//"), "{file} is somewhere else");
        let answer = server.get(&format!("/docs/{}", file.trim_start_matches("./"))).await;
        assert!(answer.status == 200 && !answer.text.is_empty(), "{file}");
    }
    let start = server.get("/docs/swagger-initializer.js").await;
    assert!(start.text.contains("/openapi.json") && !start.text.contains("petstore"), "{}", start.text);
    assert!(!start.text.contains("http://") && !start.text.contains("https://"), "{}", start.text);
    server.get("/docs/nothing.js").await.problem(404);
    server.end().await;
}
