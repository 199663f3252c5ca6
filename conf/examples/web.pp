# What conf/examples/puppet.yaml has the agents bring: manifests/init.pp of a module "web". The version comes as a fact of the run
# that shiftd asks for; the agents' own runs have none, and leave the version that is there.
class web (
  String $builds,   # where the builds lie
  String $root,     # of the service
  String $restart,  # the command
  Optional[String] $version = $facts['web_version'],
) {
  if $version {
    file { "${root}/builds/web-${version}":
      source => "${builds}/web-${version}",
      tag    => 'fetch',
    }
    -> file { "${root}/web":
      source => "${builds}/web-${version}",
    }
    ~> exec { $restart:
      refreshonly => true,
      path        => ['/usr/bin', '/bin'],
    }
  }
}
