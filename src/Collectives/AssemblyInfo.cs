using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Collectives.Tests")]
[assembly: InternalsVisibleTo("DistTrain.Bench")]
