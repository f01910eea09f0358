package cmd

import (
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"
)

func newVersionCmd(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:  "version",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return printVersion(s) },
	}
}

// printVersion prints what the build recorded.
func printVersion(s *streams) error {
	v := struct {
		Version  string `json:"version"`
		Commit   string `json:"commit,omitempty"`
		Time     string `json:"time,omitempty"`
		Modified bool   `json:"modified,omitempty"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			v.Version = info.Main.Version
		}
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				v.Commit = setting.Value
			case "vcs.time":
				v.Time = setting.Value
			case "vcs.modified":
				v.Modified = setting.Value == "true"
			}
		}
	}
	if s.json {
		return s.printJSON(v)
	}
	fmt.Fprintf(s.out, "webpush %s", v.Version)
	if v.Commit != "" {
		fmt.Fprintf(s.out, " (%.12s, %s)", v.Commit, v.Time)
	}
	fmt.Fprintf(s.out, ", %s, %s\n", v.Go, v.Platform)
	return nil
}

func newCompletionCmd(s *streams) *cobra.Command {
	shells := map[string]func(root *cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(s.out, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(s.out) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(s.out, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(s.out) },
	}
	return &cobra.Command{
		Use:       "completion bash|zsh|fish|powershell",
		ValidArgs: slices.Sorted(maps.Keys(shells)),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || shells[args[0]] == nil {
				return usage("use, for example: webpush completion bash", "completion requires the name of one shell: bash, zsh, fish, or powershell")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return shells[args[0]](c.Root()) },
	}
}
