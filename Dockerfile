# Respire in a container: built in one stage, run in another that has nothing but the binary.
#
#     docker build -t respire .
#     docker run -d -p 127.0.0.1:6379:6379 -v respire:/data respire
#     docker run -d -v respire:/data respire --requirepass secret --appendonly yes

FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --package respire --bin respire

FROM debian:bookworm-slim
RUN groupadd --system --gid 999 respire \
    && useradd --system --uid 999 --gid respire --home-dir /data --shell /usr/sbin/nologin respire \
    && install --directory --owner respire --group respire /data
COPY --from=build /source/target/release/respire /usr/local/bin/respire
USER respire
# Snapshots and the append-only file: the server keeps them in its working directory.
WORKDIR /data
VOLUME /data
EXPOSE 6379
# The server saves, then ends. Give it time: docker stop --time, or stop_grace_period.
STOPSIGNAL SIGTERM
# Not healthy while it loads; where the port is another one, say so with --health-cmd.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["respire", "ping"]
ENTRYPOINT ["respire"]
# In a container every client comes from outside, so that protected mode would refuse them all. As in the official
# image of Redis it is off, and what is reachable is decided by the ports that are published: publish them to an address that
# you trust, or set a password. Arguments of your own take the place of this one.
CMD ["--protected-mode", "no"]
