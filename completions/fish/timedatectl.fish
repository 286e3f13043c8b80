complete -c timedatectl -s H -l host -d 'Operate on remote host (refused: use ssh)' -r
complete -c timedatectl -s M -l machine -d 'Operate on local container (only .host)' -r
complete -c timedatectl -s p -l property -d 'Show only properties by this name' -r
complete -c timedatectl -s P -d 'Equivalent to --value --property=NAME' -r
complete -c timedatectl -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c timedatectl -s h -l help -d 'Show this help message'
complete -c timedatectl -l version -d 'Show package version'
complete -c timedatectl -l no-pager -d 'Do not pipe output into a pager'
complete -c timedatectl -l no-ask-password -d 'Do not prompt for password'
complete -c timedatectl -l adjust-system-clock -d 'Adjust system clock when changing local RTC mode'
complete -c timedatectl -l monitor -d 'Monitor status of systemd-timesyncd'
complete -c timedatectl -s a -l all -d 'Show all properties, including empty ones'
complete -c timedatectl -l value -d 'When showing properties, only print the value'
