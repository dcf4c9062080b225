using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Ingest.Tests")]
[assembly: InternalsVisibleTo("DistTrain.Bench")]
