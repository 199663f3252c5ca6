# apt_world.sh DIR VERSION...: a repository below DIR with the package `web` in these versions, and an apt and dpkg (the
# machine's own programs, with APT_CONFIG=DIR/apt.conf) that install below DIR/root as whoever runs them.
set -e
world=$1
shift
root=$world/root
mkdir -p "$world/repo" "$root"/var/lib/dpkg/{info,updates} "$root/var/lib/apt/lists/partial" "$root/var/cache/apt/archives/partial" \
  "$root"/etc/apt/{apt.conf.d,preferences.d,trusted.gpg.d} "$root/var/log/apt" "$root/tmp"
touch "$root/var/lib/dpkg/status" "$root/var/lib/dpkg/available"
for version in "$@"; do
  tree=$world/tree-$version
  mkdir -p "$tree/DEBIAN" "$tree/srv/web"
  printf 'Package: web\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@example.net>\nDescription: a service\n' "$version" \
    >"$tree/DEBIAN/control"
  echo "$version" >"$tree/srv/web/version"
  dpkg-deb --root-owner-group -Znone -b "$tree" "$world/repo/web_${version}_all.deb" >/dev/null
done
cd "$world/repo"
for file in *.deb; do
  dpkg-deb -f "$file"
  digest=$(sha256sum <"$file")
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "${digest%% *}"
done >Packages
echo "deb [trusted=yes] file:$world/repo ./" >"$root/etc/apt/sources.list"
cat >"$world/apt.conf" <<F
Dir "$root";
Dir::State::status "$root/var/lib/dpkg/status";
Dir::Bin::methods "/usr/lib/apt/methods";
Dir::Bin::dpkg "/usr/bin/dpkg";
APT::Architecture "$(dpkg --print-architecture)";
APT::Sandbox::User "";
DPkg::Options { "--root=$root"; "--force-not-root"; "--force-script-chrootless"; "--force-bad-path"; "--log=$world/dpkg.log"; };
Dpkg::Use-Pty "false";
F
