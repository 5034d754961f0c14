#!/usr/bin/env bash
# Installs what some tests need besides Python packages, on Debian and Ubuntu: a browser, and what deploy/cpp is
# built with. Does nothing where all of it is there.
set -euo pipefail

packages=(chromium chromium-driver cmake curl g++ libjpeg-dev libpng-dev libssl-dev libyaml-cpp-dev make)
missing=()
for package in "${packages[@]}"; do
    if [[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]]; then
        missing+=("$package")
    fi
done
if ((${#missing[@]} == 0)); then
    exit
fi
as_root=()
if ((EUID != 0)); then
    as_root=(sudo)
fi
printf 'Installing %s\n' "${missing[*]}"
"${as_root[@]}" apt-get update -q
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"
