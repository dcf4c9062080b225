using DistTrain.Bench;

// rows ...: what `disttrain bench` starts. Anything else is BenchmarkDotNet's.
return args switch
{
    ["rows", .. string[] rest] => RowsCommand.Run(rest),
    _ => SwitcherCommand.Run(args),
};
