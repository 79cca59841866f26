//! Pushes a folder as one artifact, and restores it somewhere else.
//!
//! ```text
//! cargo run -p overside-client --example folder -- http://127.0.0.1:5000/team/data:v1 data copy-of-data
//! ```

use std::error::Error;
use std::path::Path;

use overside_client::artifact::{ArtifactBuilder, ArtifactFiles, Folder};
use overside_client::{ImageRef, Registry};
use overside_protocol::reference::Reference;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [name, folder, back] =
        arguments().ok_or("name a repository with its registry and a tag, and two folders")?;
    let name: ImageRef = name.parse()?;
    let address = name.registry().ok_or("name the registry before the repository")?;
    let repository = Registry::builder(address.url()).build()?.repository(name.repository().clone());
    let Some(Reference::Tag(tag)) = name.reference() else { return Err("name a tag".into()) };

    let folder = Folder::read(Path::new(&folder), |path| path == "tmp").await?;
    let artifact = ArtifactBuilder::default().folder(folder).build().await?;
    let pushed = repository.push_files(artifact).tag(tag.clone()).replace_tag(true).send().await?;
    println!("{} files and configs sent, {} were there", pushed.sent, pushed.existed);

    let manifest = repository.find(&Reference::Tag(tag.clone()), None).await?;
    repository.restore(ArtifactFiles::of(&manifest)?).save(back).await?;
    Ok(())
}

fn arguments<const N: usize>() -> Option<[String; N]> {
    std::env::args().skip(1).collect::<Vec<_>>().try_into().ok()
}
