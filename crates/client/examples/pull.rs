//! Pulls an image into an archive that `docker load` reads, as whoever Docker knows you to be on that registry.
//!
//! ```text
//! cargo run -p overside-client --example pull -- docker.io library/alpine 3.22 alpine.tar
//! ```

use std::error::Error;
use std::path::PathBuf;

use overside_client::archive::{Form, ImageName};
use overside_client::artifact::{self, PullOptions};
use overside_client::credentials::Credentials;
use overside_client::{Client, ConnectOptions, Lanes, Progress, RegistryAddress};
use overside_protocol::name::RepositoryName;
use overside_protocol::reference::{Reference, Tag};
use overside_protocol::wire::Platform;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [address, repository, tag, file] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "name a registry, a repository, a tag and an archive")?;
    let address: RegistryAddress = address.parse()?;
    let (repository, tag): (RepositoryName, Tag) = (repository.parse()?, tag.parse()?);
    let platform: Platform = "linux/amd64".parse()?;

    let credential = Credentials::load()?.find(address.name(), Some(repository.as_str())).await?;
    let options = ConnectOptions { credential, ..ConnectOptions::default() };
    let client = Client::connect(address.url().clone(), options)?;

    let reference = Reference::Tag(tag.clone());
    let image = artifact::find(&client, &repository, &reference, Some(&platform)).await?;
    let options = PullOptions {
        lanes: Lanes::default(),
        form: Form::Tar,
        name: Some(ImageName { repository: format!("{address}/{repository}"), tag }),
    };
    let target = PathBuf::from(file);
    let pulled = artifact::pull(&client, &repository, image, &target, &options, &Progress::default()).await?;
    println!("{} blobs, {} bytes", pulled.sent, pulled.sent_bytes);
    Ok(())
}
