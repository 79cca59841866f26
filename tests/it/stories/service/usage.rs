//! `--help`, and what the exit code and the message say when something is wrong.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use crate::support::trial::Story;
use crate::support::{Stack, Store};

pub fn cases() -> Vec<Story> {
    vec![
        ("help_names_every_setting_with_its_environment_variable", help),
        ("bad_usage_exits_2_and_says_what_is_wrong", bad_usage),
        ("a_failure_exits_1_and_says_what_to_do", failures),
    ]
}

fn help(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let top = stack.command(&["--help"]).await;
        assert_eq!((top.code, top.stderr.as_str()), (Some(0), ""));
        for command in
            ["serve", "quickstart", "cleanup", "doctor", "migrate", "put", "get", "user", "project", "robot"]
        {
            assert!(top.stdout.contains(&format!("\n  {command}")), "{command}: {}", top.stdout);
            let help = stack.command(&[command, "--help"]).await;
            assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{command}");
        }
        for command in ["serve", "cleanup", "doctor", "migrate"] {
            let help = stack.command(&[command, "--help"]).await.stdout;
            // One line, however the terminal's width has broken it.
            let unbroken = help.split_whitespace().collect::<Vec<_>>().join(" ");
            let mut settings = 0;
            for flag in help.lines().filter_map(|line| line.trim_start().strip_prefix("--")) {
                let flag = flag.split([' ', '[', '=']).next().unwrap_or_default();
                // What one run does differently is no setting.
                if matches!(flag, "dry-run" | "json" | "verbose" | "origin" | "insecure" | "token-service") {
                    continue;
                }
                let variable = format!("OVERSIDE_{}", flag.to_uppercase().replace('-', "_"));
                assert!(unbroken.contains(&format!("[env: {variable}")), "{command} --{flag}: {help}");
                settings += 1;
            }
            assert!(settings >= 7, "{command} --help shows its settings: {help}");
            assert!(!help.contains(&stack.database.url()), "a password in the environment is not shown");
        }
        let version = stack.command(&["--version"]).await;
        assert_eq!((version.code, version.stdout.starts_with("overside ")), (Some(0), true));
    }
    .boxed()
}

fn bad_usage(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let cases: [(&[&str], &str); 20] = [
            (&[], "Usage"),
            (&["sail"], "sail"),
            (&["serve", "--nonsense"], "--nonsense"),
            (&["serve", "--storage", "gs://bucket"], "s3://BUCKET"),
            (&["serve", "--storage", "s3://Bad_Bucket"], "bucket name"),
            (&["serve", "--storage", "s3://bucket/../up"], "prefix"),
            (&["serve", "--storage", "file://"], "needs a path"),
            (&["serve", "--part-size", "4MiB"], "from 5"),
            (&["serve", "--part-size", "6GiB"], "to 5"),
            (&["serve", "--part-size", "many"], "8MiB"),
            (&["serve", "--max-blob-size", "0"], "from 1"),
            (&["serve", "--max-blob-size", "50TiB"], "to 48.8 TiB"),
            (&["serve", "--url-lifetime", "8d"], "from 1s to 7d"),
            (&["serve", "--upload-lifetime", "soon"], "24h"),
            (&["serve", "--lease", "0s"], "from 1ms to"),
            (&["serve", "--listen", "nowhere"], "--listen"),
            (&["serve", "--listen", "0.0.0.0:0"], "--insecure-no-auth"),
            (&["serve", "--listen", "[::]:0"], "--insecure-no-auth"),
            (&["serve", "--database-connections", "1"], "--database-connections"),
            (&["serve", "--log", "overside=loud"], "--log"),
        ];
        for (arguments, says) in cases {
            let done = stack.command(arguments).await;
            assert_eq!(done.code, Some(2), "{arguments:?}: {}", done.stderr);
            assert!(done.stderr.contains(says), "{arguments:?}: {}", done.stderr);
            assert!(!done.stdout.contains("listening"), "{arguments:?}");
        }
        let by_environment = stack.run(stack.binary().arg("serve").env("OVERSIDE_PART_SIZE", "1MiB")).await;
        assert_eq!(by_environment.code, Some(2), "{}", by_environment.stderr);
        assert!(by_environment.stderr.contains("--part-size"), "{}", by_environment.stderr);
    }
    .boxed()
}

fn failures(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let taken = server.base_url().trim_start_matches("http://");
        let nowhere = "postgres://nobody:secret-word@127.0.0.1:1/none";
        let file = stack.folder().join("a-file");
        std::fs::write(&file, "no folder").expect("a file");
        let no_folder = format!("file://{}", file.display());
        let mut cases = vec![
            (vec!["serve", "--listen", taken], "is another server there?"),
            (vec!["serve", "--database", nowhere], "check --database"),
            (vec!["migrate", "--database", nowhere], "check --database"),
            (vec!["cleanup", "--database", nowhere], "check --database"),
            (vec!["serve", "--database", "mysql://host/db"], "postgres:// or sqlite://"),
            (vec!["serve", "--storage", &no_folder], "cannot use the folder"),
        ];
        if let Store::S3 { .. } = stack.store {
            cases.push((vec!["serve", "--storage", "s3://there-is-no-such-bucket"], "overside doctor"));
            cases.push((vec!["cleanup", "--storage", "s3://there-is-no-such-bucket"], "overside doctor"));
            cases.push((vec!["serve", "--s3-endpoint", "http://127.0.0.1:1"], "overside doctor"));
        }
        for (arguments, says) in cases {
            let done = stack.command(&arguments).await;
            assert_eq!(done.code, Some(1), "{arguments:?}: {}", done.stderr);
            let error = done.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
            assert!(error.contains(says), "{arguments:?}: {}", done.stderr);
            assert!(
                !done.stderr.contains("secret-word") && !done.stderr.contains("panicked"),
                "{}",
                done.stderr
            );
        }
    }
    .boxed()
}
