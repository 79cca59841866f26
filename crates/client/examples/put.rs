//! Uploads a file as a blob, straight to the store where the registry signs URLs, and says how far it is.
//!
//! ```text
//! cargo run -p overside-client --example put -- http://127.0.0.1:5000 team/model model.bin
//! ```

use std::error::Error;
use std::path::PathBuf;

use overside_client::{Client, Event, Progress, PutOptions, RegistryAddress};
use overside_protocol::name::RepositoryName;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [address, repository, file] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "name a registry, a repository and a file")?;
    let address: RegistryAddress = address.parse()?;
    let repository: RepositoryName = repository.parse()?;

    let progress = Progress::new(|subject, event| match event {
        Event::Started { stage, total, .. } => eprintln!("{}: {stage:?}, {total} bytes", subject.name),
        Event::Retrying { error, after } => eprintln!("{error}; trying again in {after:?}"),
        _ => {}
    });
    let client = Client::new(address.url().clone())?;
    let put = client.put_file(&repository, &PathBuf::from(file), &PutOptions::default(), &progress).await?;
    println!("{} {:?}", put.digest, put.outcome);
    Ok(())
}
