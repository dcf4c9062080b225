using System.CommandLine;
using DistTrain.Cli;

return CommandLineHost.Run(args);
