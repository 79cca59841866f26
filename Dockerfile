# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY . .
# The caches stay with the builder, so the binary is copied out of them in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin overside \
    && cp target/release/overside /usr/local/bin/overside

FROM debian:bookworm-slim
# To check the certificates of S3 endpoints and databases.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /data --create-home overside
COPY --from=build /usr/local/bin/overside /usr/local/bin/overside

USER overside
# The embedded default, SQLite and files below ./data, lands on the volume.
WORKDIR /
VOLUME /data
EXPOSE 5000
# No HEALTHCHECK: it would need an HTTP client in an image that has none. Orchestrators ask /healthz (is it
# alive) and /readyz (do its database and store answer) over the network, where they also see what clients see.
ENTRYPOINT ["overside"]
CMD ["serve"]
