complete -c chronyc -s h -d 'Ask these in turn, comma separated: socket path, name or address' -r
complete -c chronyc -s p -d 'Use this UDP port (323)' -r
complete -c chronyc -s u -d 'Become this user before asking' -r
complete -c chronyc -s f -d 'Ignored, for compatibility' -r
complete -c chronyc -l watch -d 'Repeat a report (every second)' -r
complete -c chronyc -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c chronyc -s 4 -d 'Use IPv4 addresses only'
complete -c chronyc -s 6 -d 'Use IPv6 addresses only'
complete -c chronyc -s n -d 'Do not look names up'
complete -c chronyc -s N -d 'Print sources as they are configured'
complete -c chronyc -s c -d 'Print comma separated values'
complete -c chronyc -s e -d 'End every response with a line of one dot'
complete -c chronyc -s m -d 'Take every argument as a command'
complete -c chronyc -s w -d 'Print wider tables'
complete -c chronyc -s d -d 'Ignored, for compatibility'
complete -c chronyc -s a -d 'Ignored, for compatibility'
complete -c chronyc -s v -l version -d 'Print the version'
complete -c chronyc -l help -d 'Print the options'
