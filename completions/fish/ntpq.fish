complete -c ntpq -s c -l command -d 'Run a command and exit; may appear several times' -r
complete -c ntpq -s D -l set-debug-level -d 'Set the debug level' -r
complete -c ntpq -s r -l refid -d 'How reference identifiers are shown' -r
complete -c ntpq -s W -l width -d 'Width of the terminal: above 80 columns the remote column grows' -r
complete -c ntpq -l watch -d 'Repeat the commands (peers when there are none) every 2 or SECONDS seconds' -r
complete -c ntpq -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpq -s 4 -l ipv4 -d 'Force IPv4 name resolution'
complete -c ntpq -s 6 -l ipv6 -d 'Force IPv6 name resolution'
complete -c ntpq -s d -l debug-level -d 'Increase the debug level'
complete -c ntpq -s i -l interactive -d 'Force interactive mode'
complete -c ntpq -s n -l numeric -d 'Show numeric host addresses'
complete -c ntpq -l old-rv -d 'Always print the status line with readvar'
complete -c ntpq -s p -l peers -d 'Print the list of peers (-c peers)'
complete -c ntpq -s w -l wide -d 'Show the full remote name'
complete -c ntpq -l strict -d 'Exit 1 when a command failed'
complete -c ntpq -l version -d 'Print the version and exit'
complete -c ntpq -s ? -l help -d 'Print this help and exit'
