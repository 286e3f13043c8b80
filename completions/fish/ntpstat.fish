complete -c ntpstat -s m -d 'Exit 1 when the error may exceed this many milliseconds' -r
complete -c ntpstat -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpstat -s 4 -d 'Ask over IPv4 only'
complete -c ntpstat -s 6 -d 'Ask over IPv6 only'
complete -c ntpstat -s h -l help -d 'Print this help'
