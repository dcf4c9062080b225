using DistTrain.Bench;

// rows ...: what `disttrain bench` starts. allocations ...: the gate. Anything else is BenchmarkDotNet's.
return args switch
{
    ["rows", AllReduceCommand.Name, .. string[] rest] => AllReduceCommand.Run(rest),
    ["rows", StrategyCommand.Name, .. string[] rest] => StrategyCommand.Run(rest),
    ["rows", StragglerCommand.Name, .. string[] rest] => StragglerCommand.Run(rest),
    ["rows", .. string[] rest] => RowsCommand.Run(rest),
    ["allocations", .. string[] rest] => AllocationsCommand.Run(rest),
    _ => SwitcherCommand.Run(args),
};
