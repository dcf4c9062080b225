using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("DistTrain.ParameterServer")]
[assembly: InternalsVisibleTo("ParameterServer.Tests")]
[assembly: InternalsVisibleTo("Runtime.Tests")]
