//! `GET /v2/_catalog`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use crate::support::api::{Answer, Repository};
use crate::support::image::{entries, index, next};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_repository_is_in_the_catalog_while_it_has_a_blob_or_a_manifest", appears),
        ("the_catalog_is_listed_a_page_at_a_time_in_the_order_of_bytes", paged),
    ]
}

fn appears(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let base = server.base_url();
        let (blob, manifest) = (Repository::of(base, "has/blob"), Repository::of(base, "has/manifest"));
        let catalog =
            async || entries(&Answer::to(blob.http.get(blob.root("/v2/_catalog"))).await.expect(200));
        assert_eq!(catalog().await, Vec::<String>::new());
        // Neither a session nor a refused manifest makes a repository.
        let upload = blob.begin().await;
        let (list, lacking) = (index(&[]), index(&[index(&[]).descriptor()]));
        manifest.put("v1", &lacking).await.expect(404);
        assert_eq!(catalog().await, Vec::<String>::new());
        upload.abort().await.expect(204);

        let digest = blob.push(b"a blob").await;
        assert_eq!(catalog().await, ["has/blob"]);
        manifest.put(list.digest(), &list).await.expect(201);
        let answer = Answer::to(blob.http.get(blob.root("/v2/_catalog"))).await;
        assert_answer!(answer.rendered(), @r#"
        200 OK
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        {
          "repositories": [
            "has/blob",
            "has/manifest"
          ]
        }
        "#);
        blob.delete_blob(&digest).await.expect(202);
        assert_eq!(catalog().await, ["has/manifest"]);
        manifest.delete(list.digest()).await.expect(202);
        assert_eq!(catalog().await, Vec::<String>::new());
        manifest.list("tags/list").await.refused(404, "NAME_UNKNOWN");
    }
    .boxed()
}

fn paged(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let names = ["z", "a/b", "a-b", "a.b", "a_b", "a", "a0", "ab", "a/b/c", "0", "a--b", "b/a", "a__b"];
        for name in names {
            let repository = Repository::of(server.base_url(), name);
            let list = index(&[]);
            repository.put("v1", &list).await.expect(201);
        }
        let repository = Repository::of(server.base_url(), "a");
        let mut sorted = names.map(str::to_owned);
        sorted.sort_unstable();
        for n in 1..=names.len() + 1 {
            let pages = repository.pages_from(repository.root(&format!("/v2/_catalog?n={n}"))).await;
            assert_eq!(pages.iter().flat_map(entries).collect::<Vec<_>>(), sorted, "n={n}");
            assert_eq!(pages.len(), names.len().div_ceil(n), "n={n}");
        }
        let list = async |query: &str| {
            let url = repository.root(&format!("/v2/_catalog{query}"));
            Answer::to(repository.http.get(url)).await.expect(200)
        };
        assert_answer!(list("?n=3&last=a%2Fb").await.rendered(), @r#"
        200 OK
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        link: </v2/_catalog?n=3&last=a__b>; rel="next"
        {
          "repositories": [
            "a/b/c",
            "a0",
            "a__b"
          ]
        }
        "#);
        let none = list("?n=0").await;
        assert_eq!((entries(&none).len(), next(&none)), (0, None));
        let rest = list("?last=b").await;
        assert_eq!((entries(&rest), next(&rest)), (vec!["b/a".to_owned(), "z".to_owned()], None));
        assert_eq!(entries(&list("?last=zz").await), Vec::<String>::new());
    }
    .boxed()
}
