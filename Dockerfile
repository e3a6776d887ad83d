# The server in a container, with all its backends. Where its data goes, and how to run it: docs/src/docker.md.
#
#     docker build --tag syncserver .

# The manifests alone, with an empty program and empty libraries in the place of the sources. This stage is run again at
# each change, but what it leaves behind only differs where the dependencies do: the long step below is kept until then.
FROM rust:1.95-slim-bookworm AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock \
        ! -path '*/src/lib.rs' ! -path '*/src/main.rs' ! -path '*/benches/*.rs' -delete \
    && find . -type f -name '*.rs' -exec truncate --size=0 {} + \
    && find . -type f -path '*/src/main.rs' -exec sh -c 'for file; do echo "fn main() { }" > "$file"; done' sh {} + \
    && find . -type d -empty -delete

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY --from=manifests /src .
# The dependencies. SQLite and the compressors are C, for which the image has a compiler.
RUN cargo build --release --locked --package syncserver --bin syncserver
COPY . .
# What /__version__ tells: where the sources are, which of them these are, and what built them.
ARG SYNCSERVER_SOURCE=""
ARG SYNCSERVER_COMMIT=""
ARG SYNCSERVER_BUILD=""
# The sources may be older than the empty files that were built above, so that cargo would not look at them.
RUN find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --package syncserver --bin syncserver

FROM debian:bookworm-slim
ARG SYNCSERVER_SOURCE=""
ARG SYNCSERVER_COMMIT=""
LABEL org.opencontainers.image.title="syncserver" \
    org.opencontainers.image.description="A Firefox Sync server to run yourself" \
    org.opencontainers.image.licenses="MPL-2.0" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.source="${SYNCSERVER_SOURCE}" \
    org.opencontainers.image.revision="${SYNCSERVER_COMMIT}"

# The number is part of the image's promises: files in a volume belong to it. The folder's owner and mode are those that
# a new volume gets. (The certificates of authorities that the server believes are in the program.)
RUN groupadd --gid 10001 syncserver \
    && useradd --uid 10001 --gid syncserver --no-create-home --home-dir /data --shell /usr/sbin/nologin syncserver \
    && install --directory --owner=syncserver --group=syncserver --mode=0700 /data
COPY --from=build /src/target/release/syncserver /usr/local/bin/syncserver

# TMPDIR: large answers pass through a temporary file without a name. With it, /data is the only place that is written
# to, so that all the rest may be read-only.
ENV SYNC_HOST=0.0.0.0 \
    SYNC_DATA_DIR=/data \
    TMPDIR=/data
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# The check itself gives up after 10 seconds. Migrations of a large database at the start take longer than the start
# period; the container is "unhealthy" meanwhile, and nothing stops it for that.
HEALTHCHECK --interval=30s --timeout=12s --start-period=60s --retries=3 CMD ["syncserver", "healthcheck"]
ENTRYPOINT ["syncserver"]
