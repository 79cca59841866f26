//! Pulls an image into an archive that `docker load` reads, with the credentials that Docker keeps for its registry.
//!
//! ```text
//! cargo run -p overside-client --example pull -- docker.io/library/alpine:3.22 alpine.tar
//! ```

use std::error::Error;

use overside_client::archive::ImageName;
use overside_client::credentials::Credentials;
use overside_client::{ImageRef, Registry};
use overside_protocol::reference::Tag;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [image, file] = arguments().ok_or("name an image with its registry, and an archive")?;
    let image: ImageRef = image.parse()?;
    let address = image.registry().ok_or("name the registry before the image")?;

    let credential = Credentials::load()?.find(address.name(), Some(image.repository().as_str())).await?;
    let registry = Registry::builder(address.url()).credentials(credential).build()?;
    let repository = registry.repository(image.repository().clone());

    let root = repository.find(&image.reference_or_latest(), Some(&"linux/amd64".parse()?)).await?;
    let name = ImageName::new(image.with_reference(None).to_string(), Tag::latest());
    let pulled = repository.pull(root).name(name).save(file).await?;
    println!("{} blobs, {} bytes", pulled.sent, pulled.sent_bytes);
    Ok(())
}

fn arguments<const N: usize>() -> Option<[String; N]> {
    std::env::args().skip(1).collect::<Vec<_>>().try_into().ok()
}
