complete -c ntpdate -s a -d 'Authenticate with this key of the key file' -r
complete -c ntpdate -s e -d 'Time that signing a request takes (obsolete)' -r
complete -c ntpdate -s k -d 'Key file [default: /etc/ntp/keys]' -r
complete -c ntpdate -s o -d 'NTP version of the requests [default: 4]' -r
complete -c ntpdate -s p -d 'Ask each server for exactly N samples, 1 to 8 [default: as many as help, at most 4]' -r
complete -c ntpdate -s t -d 'Wait this long for each answer, in steps of 0.2 [default: 1]' -r
complete -c ntpdate -s U -d 'Drop root to this user, keeping only the right to set the clock' -r
complete -c ntpdate -l interval -d 'Gap between two packets to one server [default: 2, on loopback 0]' -r
complete -c ntpdate -l port -d 'Port of the servers [default: 123]' -r
complete -c ntpdate -l json -d 'Print one JSON object instead of text' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpdate -s 4 -d 'Resolve names to IPv4 addresses only'
complete -c ntpdate -s 6 -d 'Resolve names to IPv6 addresses only'
complete -c ntpdate -s b -d 'Always step the clock'
complete -c ntpdate -s B -d 'Always slew the clock'
complete -c ntpdate -s d -d 'Do everything but adjust, and print a trace; may be repeated'
complete -c ntpdate -s q -d 'Ask only: print a row per server, do not adjust'
complete -c ntpdate -s s -d 'Log to syslog instead of the terminal'
complete -c ntpdate -s u -d 'Send from an unprivileged port'
complete -c ntpdate -s v -d 'Log the version, and why servers were rejected'
complete -c ntpdate -s h -l help -d 'Print help'
complete -c ntpdate -l version -d 'Print the version'
