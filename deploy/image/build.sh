#!/usr/bin/env bash
# Builds the image with buildah, which needs no daemon: deploy/image/build.sh [TAG] (scopekit:latest without one).
# Where the official base cannot be had, a Debian minbase of the same release, with the same Python, stands in for it.
set -euo pipefail
cd "$(dirname "$0")/../.."
TAG=${1:-scopekit:latest}
LOCK=${LOCK:-deploy/requirements.lock}
BASE=docker.io/library/$(sed -n 's/^FROM \([^ ]*\)$/\1/p' deploy/Dockerfile)
# chroot and vfs work in a container too; where more is allowed, buildah's own defaults are faster.
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot} STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
export BUILDAH_FORMAT=docker # OCI images have no health check

for tool in buildah debootstrap; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install buildah debootstrap" >&2; exit 2; }
done

# The stand-in trusts what this machine trusts: an index behind a proxy of one's own has its own authority.
stand_in() {
    local root container
    root=$(mktemp -d)
    trap 'rm -rf "$root"' RETURN
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$root" \
        "$(apt_mirror)" >/dev/null
    ln -s python3 "$root/usr/bin/python"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' > "$root/etc/pip.conf"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$root" / >/dev/null
    buildah commit --quiet --rm "$container" "$BASE" >/dev/null
}

apt_mirror() {
    # Of this machine's own sources, so that no mirror is named here.
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -n -e 's/^URIs: *\([^ ]*\).*/\1/p' -e 's/^deb \(\[[^]]*\] \)\?\([^ ]*\).*/\2/p' | head -n 1
}

if ! buildah inspect --type image "$BASE" >/dev/null 2>&1; then
    if [ -z "${STAND_IN:-}" ] && buildah pull --quiet "$BASE" >/dev/null 2>&1; then
        echo "base: $BASE"
    else
        echo "base: a stand-in of Debian's packages for $BASE"
        stand_in
    fi
fi
buildah build --pull=never --network host --build-arg "LOCK=$LOCK" --file deploy/Dockerfile --tag "$TAG" .
