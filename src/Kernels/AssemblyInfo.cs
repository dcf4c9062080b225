using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Kernels.Tests")]
[assembly: InternalsVisibleTo("DistTrain.Bench")]
[assembly: DisableRuntimeMarshalling]
