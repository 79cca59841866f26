//! `GET …/tags/list`

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use overside::db::Db;

use super::NAME;
use crate::support::api::{Answer, Repository, database};
use crate::support::image::{Manifest, entries, next};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

/// The most that goes on a page.
const PAGE: usize = 1_000;
/// The most that one push sets.
const MOST_TAGS: usize = 50;

pub fn cases() -> Vec<Story> {
    vec![
        ("tags_are_listed_in_the_order_of_their_bytes", ordered),
        ("tags_are_listed_a_page_at_a_time", paged),
        ("a_page_of_no_size_that_is_one_is_refused", unusable),
        ("a_repository_without_tags_has_an_empty_list_and_an_unknown_one_none", empty),
        ("ten_thousand_tags_are_listed_in_pages", many),
        ("tags_pushed_and_deleted_meanwhile_hide_and_repeat_no_other", meanwhile),
    ]
}

async fn tag_all(repository: &Repository, image: &Manifest, tags: &[&str]) {
    for tags in tags.chunks(MOST_TAGS) {
        let query: Vec<_> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        repository.put(format!("{}?{}", image.digest(), query.join("&")), image).await.expect(201);
    }
}

fn ordered(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("ordered").await;
        let tags = [
            "b", "a", "B", "A", "_", "1", "10", "2", "a.b", "a-b", "a_b", "ab", "aB", "a1", "Z", "z", "v1",
            "V1",
        ];
        tag_all(&repository, &image, &tags).await;
        let answer = repository.list("tags/list").await;
        assert_answer!(answer.rendered(), @r#"
        200 OK
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        {
          "name": "team/app/model",
          "tags": [
            "1",
            "10",
            "2",
            "A",
            "B",
            "V1",
            "Z",
            "_",
            "a",
            "a-b",
            "a.b",
            "a1",
            "aB",
            "a_b",
            "ab",
            "b",
            "v1",
            "z"
          ]
        }
        "#);
        let mut sorted = tags.map(str::to_owned);
        sorted.sort_unstable();
        assert_eq!(entries(&answer), sorted);
        // In the same order page by page, whatever a page ends with.
        for n in 1..=tags.len() {
            let pages = repository.pages(&format!("tags/list?n={n}")).await;
            assert_eq!(pages.iter().flat_map(entries).collect::<Vec<_>>(), sorted, "n={n}");
            assert_eq!(pages.len(), tags.len().div_ceil(n), "n={n}");
        }
        for (at, last) in sorted.iter().enumerate() {
            let rest = entries(&repository.list(&format!("tags/list?last={last}")).await);
            assert_eq!(rest, sorted[at + 1..], "last={last}");
        }
    }
    .boxed()
}

fn paged(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("paged").await;
        tag_all(&repository, &image, &["v1", "v2", "v3", "v4", "v5"]).await;
        let first = repository.list("tags/list?n=2").await;
        assert_answer!(first.rendered(), @r#"
        200 OK
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        link: </v2/team/app/model/tags/list?n=2&last=v2>; rel="next"
        {
          "name": "team/app/model",
          "tags": [
            "v1",
            "v2"
          ]
        }
        "#);
        let second = Answer::to(repository.http.get(repository.root(&next(&first).expect("more")))).await;
        assert_answer!(second.rendered(), @r#"
        200 OK
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        link: </v2/team/app/model/tags/list?n=2&last=v4>; rel="next"
        {
          "name": "team/app/model",
          "tags": [
            "v3",
            "v4"
          ]
        }
        "#);

        let list = async |query: &str| {
            let page = repository.list(&format!("tags/list{query}")).await.expect(200);
            (entries(&page).join(" "), next(&page).is_some())
        };
        let all = "v1 v2 v3 v4 v5".to_owned();
        assert_eq!(list("").await, (all.clone(), false));
        for n in ["5", "6", "999999", "18446744073709551616", "007"] {
            assert_eq!(list(&format!("?n={n}")).await, (all.clone(), false), "n={n}");
        }
        assert_eq!(list("?n=4").await, ("v1 v2 v3 v4".to_owned(), true));
        // None is asked for, and none is told to follow (OCI distribution 1.1.1, "Listing Tags").
        assert_eq!(list("?n=0").await, (String::new(), false));
        assert_eq!(list("?n=0&last=v2").await, (String::new(), false));
        // A tag need not be there to begin after it.
        assert_eq!(list("?last=v2.5&n=1").await, ("v3".to_owned(), true));
        assert_eq!(list("?last=v3").await, ("v4 v5".to_owned(), false));
        assert_eq!(list("?last=").await, (all.clone(), false));
        assert_eq!(list("?last=%20&n=9").await, (all, false));
        for last in ["v5", "z", "%C3%BC", "v5/", "%F0%9F%98%80"] {
            assert_eq!(list(&format!("?last={last}")).await, (String::new(), false), "{last}");
        }
    }
    .boxed()
}

fn unusable(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        repository.tagged("v1").await;
        for query in [
            "n=abc",
            "n=-1",
            "n=%20",
            "n=1.5",
            "n=+1",
            "n=0x1",
            "n=%31%00",
            "last=%00",
            "n=1&n=2",
            "last=a&last=b",
        ] {
            let catalog = repository.root("/v2/_catalog");
            for url in [repository.at("tags/list"), catalog] {
                let page = Answer::to(repository.http.get(format!("{url}?{query}"))).await;
                page.refused(400, "PAGINATION_NUMBER_INVALID");
            }
        }
        // What nobody here knows is left to whoever sent it.
        repository.list("tags/list?page=2&x").await.expect(200);
    }
    .boxed()
}

fn empty(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        for query in ["", "?n=0", "?n=5&last=a"] {
            repository.list(&format!("tags/list{query}")).await.refused(404, "NAME_UNKNOWN");
        }
        // A session alone is no repository.
        repository.begin().await;
        repository.list("tags/list").await.refused(404, "NAME_UNKNOWN");
        let image = repository.image("untagged").await;
        let list = async || repository.list("tags/list").await.expect(200).text();
        let nothing = format!("{{\"name\":\"{NAME}\",\"tags\":[]}}");
        assert_eq!(list().await, nothing);
        repository.put(image.digest(), &image).await.expect(201);
        assert_eq!(list().await, nothing);
        repository.put("v1", &image).await.expect(201);
        repository.delete("v1").await.expect(202);
        assert_eq!(list().await, nothing);
        // Names that only begin alike are others.
        for name in ["team/app", "team/app/model/more", "team/app/mode"] {
            Repository::of(server.base_url(), name).list("tags/list").await.refused(404, "NAME_UNKNOWN");
        }
        Repository::of(server.base_url(), "NO").list("tags/list").await.refused(400, "NAME_INVALID");
    }
    .boxed()
}

/// What listing may make the service grow by, in bytes: some pages of 1,000 tags on their way, not all tags.
const MEMORY_OF_PAGES: u64 = 4 << 20;

fn many(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    const TAGS: &str = "
        INSERT INTO tag (repository_id, name, manifest_id, updated_at)
        WITH RECURSIVE counted (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < 10000)
        SELECT repository_id, 'tag-' || i, id, created_at FROM manifest CROSS JOIN counted";
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("many").await;
        repository.put(image.digest(), &image).await.expect(201);
        let db = database(&stack).await;
        match &db {
            Db::Postgres(pool) => sqlx::query(TAGS).execute(pool).await.map(drop),
            Db::Sqlite(pool) => sqlx::query(TAGS).execute(pool).await.map(drop),
        }
        .expect("rows");
        db.close().await;
        let expected: BTreeSet<_> = (1..=10_000).map(|number| format!("tag-{number}")).collect();
        repository.pages("tags/list?n=100").await;
        let before = server.memory().peak;
        for (query, pages) in [("", 10), ("?n=10000", 10), ("?n=1000", 10), ("?n=400", 25), ("?n=999", 11)] {
            let listed = repository.pages(&format!("tags/list{query}")).await;
            assert_eq!(listed.len(), pages, "{query}");
            assert!(listed.iter().all(|page| entries(page).len() <= PAGE), "{query}");
            assert!(listed.iter().flat_map(entries).eq(expected.iter().cloned()), "{query}");
        }
        let grown = server.memory().peak.saturating_sub(before);
        assert!(grown < MEMORY_OF_PAGES, "{grown} bytes for pages of 1,000 after pages of 100");
        repository.delete(image.digest()).await.expect(202);
        assert_eq!(repository.tags().await, Vec::<String>::new());
    }
    .boxed()
}

fn meanwhile(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    const LISTINGS: usize = 12;
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("meanwhile").await;
        let staying: Vec<_> = (0..60).map(|number| format!("t{number:03}.stays")).collect();
        tag_all(&repository, &image, &staying.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let coming_and_going = async {
            for round in 0.. {
                let changes = stream::iter(0..20).map(|number| {
                    let tag = format!("t{:03}.{round}", (number * 3 + round) % 60);
                    let (repository, image) = (&repository, &image);
                    async move {
                        repository.put(&tag, image).await.expect(201);
                        if number % 2 == 0 {
                            repository.delete(&tag).await.expect(202);
                        }
                    }
                });
                changes.buffer_unordered(4).collect::<Vec<_>>().await;
            }
        };
        let listing = async {
            for n in 1..=LISTINGS {
                let pages = repository.pages(&format!("tags/list?n={}", n * 3)).await;
                let listed: Vec<_> = pages.iter().flat_map(entries).collect();
                assert!(listed.is_sorted_by(|a, b| a < b), "{listed:?}");
                assert!(staying.iter().all(|tag| listed.binary_search(tag).is_ok()), "{listed:?}");
            }
        };
        tokio::select! {
            () = coming_and_going => unreachable!("it goes on for ever"),
            () = listing => {}
        }
    }
    .boxed()
}
