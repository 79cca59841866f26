//! Downloads through failures.

use std::path::PathBuf;

use tempfile::TempDir;

use super::server::{Fault, Server, content, digest_of};
use crate::{Error, Result};

struct Get {
    server: Server,
    folder: TempDir,
    bytes: Vec<u8>,
}

impl Get {
    async fn new(length: usize, faults: &[Fault]) -> Self {
        let get =
            Self { server: Server::start().await, folder: TempDir::new().unwrap(), bytes: content(length) };
        {
            let mut world = get.server.world();
            world.blob = Some(get.bytes.clone().into());
            world.get_faults.extend(faults.iter().cloned());
        }
        get
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    fn partial(&self) -> PathBuf {
        self.folder.path().join(format!("file.{}.partial", &digest_of(&self.bytes).hex()[..16]))
    }

    async fn run(&self) -> Result<u64> {
        self.server.repository().download(&digest_of(&self.bytes)).save(self.target()).await
    }

    async fn succeeds(&self) {
        assert_eq!(self.run().await.unwrap(), self.bytes.len() as u64);
        assert_eq!(std::fs::read(self.target()).unwrap(), self.bytes);
        assert!(!self.partial().exists());
    }

    fn ranges(&self) -> Vec<String> {
        let world = self.server.world();
        world.log.iter().filter_map(|line| line.strip_prefix("RANGE ")).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn a_blob_arrives_whole_and_replaces_what_was_there() {
    for length in [0, 1, 3_000_000] {
        let get = Get::new(length, &[]).await;
        std::fs::write(get.target(), "older").unwrap();
        get.succeeds().await;
    }
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    let cut = Fault::Cut(1000);
    let get = Get::new(100_000, &[cut.clone(), Fault::Status(503, "SlowDown"), cut, Fault::Break]).await;
    get.succeeds().await;
    assert_eq!(get.ranges(), ["", "bytes=1000-", "bytes=1000-", "bytes=2000-", "bytes=2000-"]);
}

#[tokio::test]
async fn progress_renews_patience() {
    let get = Get::new(100_000, &vec![Fault::Cut(5000); 15]).await;
    get.succeeds().await;
}

#[tokio::test]
async fn a_store_that_ignores_ranges_is_read_past_what_is_there() {
    let get = Get::new(100_000, &[Fault::Cut(1234), Fault::Whole]).await;
    get.succeeds().await;
}

#[tokio::test]
async fn an_interrupted_download_is_taken_up_by_the_next_one() {
    let get = Get::new(50_000, &[]).await;
    std::fs::write(get.partial(), &get.bytes[..40_000]).unwrap();
    get.succeeds().await;
    assert_eq!(get.ranges(), ["bytes=40000-"]);
    std::fs::write(get.partial(), &get.bytes).unwrap();
    get.succeeds().await;
    assert_eq!(get.ranges().len(), 1, "all of it was there");
}

#[tokio::test]
async fn bytes_that_are_not_the_blob_never_get_its_name() {
    let get = Get::new(50_000, &[]).await;
    std::fs::write(get.partial(), vec![0; 100]).unwrap();
    assert!(matches!(get.run().await, Err(Error::DigestMismatch(_))));
    assert!(!get.target().exists() && !get.partial().exists());
    get.succeeds().await;
}

#[tokio::test]
async fn a_blob_that_is_not_there_leaves_no_file() {
    let get = Get::new(10, &[]).await;
    get.server.world().blob = None;
    assert!(matches!(get.run().await, Err(Error::BlobUnknown(_))));
    assert_eq!(std::fs::read_dir(get.folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn two_downloads_to_one_file_do_not_mix() {
    let get = Get::new(10, &[]).await;
    let other = std::fs::File::create(get.partial()).unwrap();
    other.lock().unwrap();
    assert!(matches!(get.run().await, Err(Error::DownloadInProgress(_))));
    drop(other);
    get.succeeds().await;
}

#[tokio::test]
async fn refused_signatures_are_renewed_but_not_without_end() {
    let refused = Fault::Status(403, "AccessDenied");
    Get::new(10, &[refused.clone(), refused.clone()]).await.succeeds().await;
    let get = Get::new(10, &vec![refused; 10]).await;
    assert!(matches!(get.run().await, Err(Error::StoreRefused(_))));
    assert_eq!(get.ranges().len(), 4);
    assert!(!get.target().exists());
}
