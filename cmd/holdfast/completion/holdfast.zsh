#compdef holdfast
# Completes holdfast's words in zsh: source <(holdfast completion zsh)
_holdfast() {
	local -a lines
	lines=("${(@f)$(holdfast __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ "$lines[1]" == '!command' ]]; then
		_command_names -e
	elif [[ -z "$lines[1]" ]]; then
		_files
	else
		local -a values=("${(@)lines%%$'\t'*}")
		compadd -l -d lines -a values
	fi
}
compdef _holdfast holdfast
