//! Uploads a file as a blob, straight to the store where the registry signs URLs, and tells how far it is.
//!
//! ```text
//! cargo run -p overside-client --example put -- http://127.0.0.1:5000/team/model model.bin
//! ```

use std::error::Error;

use overside_client::{Event, ImageRef, Registry};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [name, file] = arguments().ok_or("name a repository with its registry, and a file")?;
    let name: ImageRef = name.parse()?;
    let address = name.registry().ok_or("name the registry before the repository")?;
    let repository = Registry::builder(address.url()).build()?.repository(name.repository().clone());

    let put = repository.put(file).jobs(4).on_event(|subject, event| match event {
        Event::Started { stage, total, .. } => eprintln!("{}: {stage:?}, {total} bytes", subject.name),
        Event::Retrying { error, after } => eprintln!("{error}; trying again in {after:?}"),
        _ => {}
    });
    let put = put.send().await?;
    println!("{} {:?}", put.digest, put.outcome);
    Ok(())
}

fn arguments<const N: usize>() -> Option<[String; N]> {
    std::env::args().skip(1).collect::<Vec<_>>().try_into().ok()
}
