# All images of Statewise, one stage each: auth-service, api-service, gateway, loadtest.
#
#     docker build --target gateway --tag statewise-gateway .
#
# Nothing here needs BuildKit, and scripts/make-base-images.sh makes the two base images where no registry is reached.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# Smaller without symbols; a panic still names its file and line.
ENV CARGO_PROFILE_RELEASE_DEBUG=none \
    CARGO_PROFILE_RELEASE_STRIP=symbols \
    CARGO_TERM_PROGRESS_WHEN=never
# In place of what Cargo.toml says, for whoever wants images sooner and not the fastest ones: scripts/compose-test.sh.
ARG CARGO_PROFILE_RELEASE_LTO
ARG CARGO_PROFILE_RELEASE_CODEGEN_UNITS
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL

# The dependencies take most of the time and change seldom, so they are a layer of their own.
COPY Cargo.toml Cargo.lock ./
COPY api-service/Cargo.toml api-service/
COPY auth-service/Cargo.toml auth-service/
COPY gateway/Cargo.toml gateway/
COPY loadtest/Cargo.toml loadtest/
COPY shared/Cargo.toml shared/
COPY system-tests/Cargo.toml system-tests/
COPY testkit/Cargo.toml testkit/
COPY scripts/stub-sources.sh scripts/
RUN scripts/stub-sources.sh \
 && cargo build --release --locked --workspace \
 && rm -rf */src */tests */benches

COPY . .
# Copied files keep their dates, which are older than the stubs': cargo would take the stubs' build for current.
RUN touch */src/lib.rs */src/main.rs \
 && cargo build --release --locked --workspace --bins \
 && mkdir -p /out/bin /out/data \
 && cp target/release/auth-service target/release/api-service target/release/gateway target/release/loadtest /out/bin/

FROM debian:bookworm-slim AS runtime
# For issuers, databases and collectors that are reached over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
LABEL org.opencontainers.image.title="Statewise" \
      org.opencontainers.image.description="Tokens or sessions? Measure what state costs." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# A number, so that an orchestrator can see that it is not root; it needs no entry in /etc/passwd.
USER 10001:10001
STOPSIGNAL SIGTERM

FROM runtime AS auth-service
COPY --from=build /out/bin/auth-service /usr/local/bin/
# A new volume takes over the owner of the directory that it covers.
COPY --from=build --chown=10001:10001 /out/data /var/lib/statewise
VOLUME /var/lib/statewise
ENV AUTH_LISTEN=0.0.0.0:8081 AUTH_DATA_DIR=/var/lib/statewise
EXPOSE 8081
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["auth-service", "healthcheck", "http://127.0.0.1:8081/readyz"]
ENTRYPOINT ["auth-service"]

FROM runtime AS api-service
COPY --from=build /out/bin/api-service /usr/local/bin/
ENV API_LISTEN=0.0.0.0:8082
EXPOSE 8082
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["api-service", "healthcheck", "http://127.0.0.1:8082/readyz"]
ENTRYPOINT ["api-service"]

FROM runtime AS gateway
COPY --from=build /out/bin/gateway /usr/local/bin/
ENV GATEWAY_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["gateway", "healthcheck", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["gateway"]

FROM runtime AS loadtest
COPY --from=build /out/bin/loadtest /usr/local/bin/
ENTRYPOINT ["loadtest"]
