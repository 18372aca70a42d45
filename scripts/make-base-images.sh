#!/usr/bin/env bash
# Makes the base images of the Dockerfile and of docker-compose.yml where no image registry is reached: air-gapped
# sites, CI. They are built from Debian packages and from the Rust toolchain of this machine, under the names that
# the two files use, so neither file knows the difference:
#
#   debian:bookworm-slim      a minimal Debian without documentation
#   rust:1.95-slim-bookworm   the same with gcc and this machine's toolchain, which must be of that version
#   redis:7-bookworm          the same with Debian's redis-server 7.0
#   postgres:15-bookworm      the same with Debian's PostgreSQL 15, and what of the upstream image's start is used here
#   prom/prometheus:v2.42.0   the same with Debian's Prometheus, which is of that version
#
# Where jaegertracing/jaeger cannot be pulled, a stand-in gets its name, whose page says that it is none: Compose starts
# nothing at all when one image is missing (docs/adr/0043), and nothing needs Jaeger. Fetch the real one with `docker save`
# elsewhere, or have it pulled later: `docker image rm` the stand-in first.
#
# Grafana is not among them: it starts only when it is asked for.
set -euo pipefail

readonly SUITE=bookworm
readonly BASE_IMAGE=debian:bookworm-slim
readonly RUST_VERSION=1.95
readonly RUST_IMAGE="rust:$RUST_VERSION-slim-bookworm"
readonly REDIS_IMAGE=redis:7-bookworm
readonly POSTGRES_IMAGE=postgres:15-bookworm
readonly PROMETHEUS_IMAGE=prom/prometheus:v2.42.0
JAEGER_IMAGE=$(sed -n 's/^ *image: \(jaegertracing\/.*\)$/\1/p' "$(dirname "$0")/../docker-compose.yml")
readonly JAEGER_IMAGE

usage() {
    cat <<TEXT
usage: scripts/make-base-images.sh [--force] [--mirror URL]

  --force       make every image again, also those that exist (fetched ones are replaced)
  --mirror URL  where the Debian packages come from; without it the archive that apt of this machine uses,
                and on a machine that is not Debian $SUITE the default of debootstrap

Images that exist are left alone, whoever made them. Needs root, debootstrap, docker, and Rust $RUST_VERSION by rustup.
Certificates in /usr/local/share/ca-certificates are trusted in $RUST_IMAGE too, so that cargo
reaches its registry from a build container behind a proxy that inspects TLS.
TEXT
}

fail() {
    echo "make-base-images: $*" >&2
    exit 1
}

force=no
mirror=
while [ $# -gt 0 ]; do
    case $1 in
        --force) force=yes ;;
        --mirror)
            [ $# -ge 2 ] || fail "--mirror needs a URL"
            mirror=$2
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
    shift
done

# The archive that apt of this machine reads the suite from; nothing where it reads none.
host_mirror() {
    command -v apt-get >/dev/null || return 0
    # shellcheck disable=SC2016 # apt fills these in, not the shell
    apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' \
        | awk -v suite="$SUITE" '$1 == suite && $2 == "main" && !found { print $3; found = 1 }'
}

# bootstrap DIRECTORY [PACKAGES]: a minimal Debian with PACKAGES (comma separated), made smaller.
bootstrap() {
    local root=$1 include=${2:-}
    local arguments=(--variant=minbase "--cache-dir=$work/packages")
    [ -z "$include" ] || arguments+=("--include=$include")
    # Without a mirror the argument is left out altogether, and debootstrap uses its own.
    debootstrap "${arguments[@]}" "$SUITE" "$root" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 || {
        tail -n 20 "$work/debootstrap.log" >&2
        fail "debootstrap of $SUITE${mirror:+ from $mirror} failed, its last lines are above; another archive can be given with --mirror URL"
    }
    # What an image does not need, and what debootstrap took over from this machine.
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log \
        "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/*
    rm -f "$root"/etc/resolv.conf "$root"/etc/hostname
}

# import_image ROOT NAME [CHANGE]...: makes the image out of the directory and frees the directory.
import_image() {
    local root=$1 name=$2 changes=() change
    shift 2
    for change in "$@"; do changes+=(--change "$change"); done
    tar --directory "$root" --numeric-owner --one-file-system --create . | docker import "${changes[@]}" - "$name" >/dev/null
    rm -rf --one-file-system "$root"
}

make_base() {
    bootstrap "$work/base"
    import_image "$work/base" "$BASE_IMAGE" 'CMD ["bash"]'
}

make_redis() {
    bootstrap "$work/redis" redis-server
    # The number that the upstream image gives to its redis user, which docker-compose.yml names.
    mkdir "$work/redis/data"
    chown 999:999 "$work/redis/data"
    import_image "$work/redis" "$REDIS_IMAGE" 'WORKDIR /data' 'EXPOSE 6379' 'CMD ["redis-server", "--protected-mode", "no"]'
}

make_postgres() {
    local root=$work/postgres
    bootstrap "$root" postgresql-15
    # The number that the upstream image gives to its user, which docker-compose.yml names.
    chroot "$root" groupmod --gid 999 postgres
    chroot "$root" usermod --uid 999 postgres
    rm -rf "$root"/var/lib/postgresql/* "$root"/var/run/postgresql
    mkdir -p "$root/var/lib/postgresql/data" "$root/var/run/postgresql"
    chown -R 999:999 "$root/var/lib/postgresql" "$root/var/run/postgresql"
    cat >"$root/usr/local/bin/docker-entrypoint.sh" <<'SCRIPT'
#!/bin/sh
# Makes the files of the server and its database the first time, as the upstream image does with the same variables.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    (umask 077 && printf %s "$POSTGRES_PASSWORD" >/tmp/password)
    initdb --username "$POSTGRES_USER" --pwfile /tmp/password --auth-local trust --auth-host scram-sha-256
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -j postgres >/dev/null
fi
exec "$@"
SCRIPT
    chmod 755 "$root/usr/local/bin/docker-entrypoint.sh"
    import_image "$root" "$POSTGRES_IMAGE" 'ENV PGDATA=/var/lib/postgresql/data' 'ENV LANG=C.UTF-8' \
        'ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin' 'EXPOSE 5432' \
        'ENTRYPOINT ["docker-entrypoint.sh"]' "CMD [\"postgres\", \"-c\", \"listen_addresses=*\"]"
}

make_prometheus() {
    local root=$work/prometheus
    bootstrap "$root" prometheus
    # Where the upstream image has its data, and as whom it runs.
    mkdir "$root/prometheus"
    chown 65534:65534 "$root/prometheus"
    import_image "$root" "$PROMETHEUS_IMAGE" 'USER 65534:65534' 'WORKDIR /prometheus' 'EXPOSE 9090' \
        'ENTRYPOINT ["/bin/prometheus"]'
}

make_rust() {
    local sysroot version root=$work/rust
    command -v rustc >/dev/null || fail "no rustc on PATH: $RUST_IMAGE is made from this machine's Rust $RUST_VERSION"
    version=$(rustc --version)
    case $version in
        "rustc $RUST_VERSION."*) ;;
        *) fail "$RUST_IMAGE needs Rust $RUST_VERSION, this machine has: $version" ;;
    esac
    sysroot=$(rustc --print sysroot)
    if [ "$sysroot" = /usr ] || [ ! -x "$sysroot/bin/cargo" ]; then
        fail "the toolchain in $sysroot cannot be copied: one installed by rustup is needed"
    fi

    bootstrap "$root" gcc,libc6-dev,ca-certificates
    tar --directory "$sysroot" --create bin/cargo bin/rustc lib \
        | tar --directory "$root/usr/local" --extract --no-same-owner
    if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
        cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
        chroot "$root" update-ca-certificates >/dev/null 2>&1 || fail "the certificates of this machine could not be added to $RUST_IMAGE"
    fi
    import_image "$root" "$RUST_IMAGE" 'ENV CARGO_HOME=/usr/local/cargo' 'CMD ["bash"]'
}

# The real one where it can be pulled; else a page at its port, by the perl that every Debian has.
make_jaeger() {
    if docker pull --quiet "$JAEGER_IMAGE" >/dev/null 2>&1; then return; fi
    local folder=$work/jaeger
    mkdir "$folder"
    cat >"$folder/Dockerfile" <<DOCKERFILE
FROM $BASE_IMAGE
LABEL statewise.stand-in="$JAEGER_IMAGE"
COPY stand-in.pl /
USER 10001:10001
EXPOSE 16686
ENTRYPOINT ["perl", "/stand-in.pl", "$JAEGER_IMAGE"]
DOCKERFILE
    cat >"$folder/stand-in.pl" <<'PERL'
use strict;
use IO::Socket::INET;
$SIG{TERM} = $SIG{INT} = sub { exit 0 };
$SIG{PIPE} = "IGNORE";
my $text = "This is not Jaeger: $ARGV[0] could not be pulled, and scripts/make-base-images.sh made a stand-in of that name. "
    . "All else works; spans are dropped.\n";
print STDERR $text;
my $server = IO::Socket::INET->new(LocalPort => 16686, Listen => 16, ReuseAddr => 1) or die "cannot listen: $!\n";
while (1) {
    my $client = $server->accept or next;
    sysread $client, my $request, 4096;
    print $client "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n$text";
    close $client;
}
PERL
    docker build --quiet --tag "$JAEGER_IMAGE" "$folder" >"$work/jaeger.log" 2>&1 || {
        cat "$work/jaeger.log" >&2
        fail "the stand-in for $JAEGER_IMAGE could not be built, see above"
    }
}

# make_image NAME FUNCTION: unless it exists.
make_image() {
    local name=$1 recipe=$2 started=$SECONDS
    if [ "$force" = no ] && docker image inspect "$name" >/dev/null 2>&1; then
        echo "$name exists"
        return
    fi
    missing_tools
    "$recipe"
    echo "$name made in $((SECONDS - started)) s, $(docker image inspect --format '{{.Size}}' "$name" | awk '{ printf "%.0f MB", $1 / 1e6 }')"
}

# Asked only when an image has to be made: where all exist, nothing but docker is needed.
missing_tools() {
    [ "$(id -u)" -eq 0 ] || fail "needs root: debootstrap makes device nodes and changes root"
    command -v debootstrap >/dev/null || fail "needs debootstrap: apt-get install debootstrap"
}

command -v docker >/dev/null || fail "needs docker: apt-get install docker.io"
docker info >/dev/null 2>&1 || fail "the docker daemon does not answer: is it running, and may $(id -un) use it?"
[ -n "$mirror" ] || mirror=$(host_mirror)

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mkdir "$work/packages"

make_image "$BASE_IMAGE" make_base
make_image "$RUST_IMAGE" make_rust
make_image "$REDIS_IMAGE" make_redis
make_image "$POSTGRES_IMAGE" make_postgres
make_image "$PROMETHEUS_IMAGE" make_prometheus
make_image "$JAEGER_IMAGE" make_jaeger
