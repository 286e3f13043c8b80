# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ntpbox_global_optspecs
    string join \n h/help V/version
end

function __fish_ntpbox_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ntpbox_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ntpbox_using_subcommand
    set -l cmd (__fish_ntpbox_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ntpbox -n "__fish_ntpbox_needs_command" -s h -l help -d 'Print help'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -s V -l version -d 'Print version'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "list" -d 'List the applets'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "install" -d 'Give the box its legacy names in a directory'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "man" -d 'Print the manual page of an applet'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand list" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand list" -s l -l long -d 'Show kind, man section and summary too'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand list" -s h -l help -d 'Print help'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -l symlink -d 'Make symbolic links (the default)'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -l copy -d 'Make copies of the executable'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -s f -l force -d 'Replace files of other programs too'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -s n -l dry-run -d 'Only print what would be done'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -s h -l help -d 'Print help'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand completions" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand completions" -s h -l help -d 'Print help'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand man" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand man" -l roff -d 'Print it for man(1) (the default when stdout is no terminal)'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand man" -l text -d 'Print it as plain text (the default on a terminal)'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand man" -s h -l help -d 'Print help'
