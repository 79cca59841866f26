//! Guessing passwords.

use std::sync::Arc;
use std::time::Duration;

use super::{Town, Visitor};
use crate::support::accounts::PASSWORD;
use crate::support::api::Answer;
use crate::support::process::Server;
use crate::support::{Stack, http_with};

/// How a sign-in from an address of this machine's is answered.
async fn sign_in(server: &Server, address: [u8; 4], name: &str, password: &str) -> Answer {
    let visitor = Visitor::basic("guesser", name, password);
    let http = http_with(|builder| builder.local_address(std::net::IpAddr::from(address)));
    let get = http.get(format!("{}/v2/", server.base_url()));
    Answer::to(get.header("authorization", visitor.authorization.expect("one"))).await
}

pub async fn slowed(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let other = stack.server(&["--auth", "token"]).await;
    let (guesser, owner) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let (mut tries, mut patience) = (0, 0);
    // Long enough for all of what follows, on a busy machine as well.
    let slow = loop {
        // A replica each: neither begins to count anew.
        let server = if tries % 2 == 0 { &town.server } else { &other };
        let answer = sign_in(server, guesser, "developer", &format!("guess {tries}")).await;
        if answer.status == 401 {
            tries += 1;
            assert!(tries < 30, "nothing slows it down");
            continue;
        }
        assert!(tries >= 5, "people mistype, and {tries} times is few");
        let wait: u64 = answer.header("retry-after").and_then(|value| value.parse().ok()).expect("seconds");
        if wait > 4 {
            break (answer, wait);
        }
        assert!(wait >= patience, "it waits longer each time: {patience}, {wait}");
        patience = wait;
        tokio::time::sleep(Duration::from_secs(wait)).await;
    };
    let (slow, seconds) = slow;
    slow.refused(429, "TOOMANYREQUESTS");
    // The right one is not even looked at: else the answer would tell a guesser to stop.
    for server in [&town.server, &other] {
        let answer = sign_in(server, guesser, "developer", PASSWORD).await;
        answer.refused(429, "TOOMANYREQUESTS");
    }
    // Whoever it is about does not notice, and neither do others behind the guesser's address.
    sign_in(&town.server, owner, "developer", PASSWORD).await.expect(200);
    sign_in(&town.server, guesser, "guest", PASSWORD).await.expect(200);
    // After the wait the right one is taken, and all is forgotten.
    tokio::time::sleep(Duration::from_secs(seconds + 1)).await;
    sign_in(&other, guesser, "developer", PASSWORD).await.expect(200);
    for _ in 0..3 {
        sign_in(&other, guesser, "developer", "mistyped").await.refused(401, "UNAUTHORIZED");
    }
    sign_in(&other, guesser, "developer", PASSWORD).await.expect(200);
}
