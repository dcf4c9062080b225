using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Ingest.Tests")]
[assembly: InternalsVisibleTo("DistTrain.Bench")]
// The walk from disk to device counts slabs.
[assembly: InternalsVisibleTo("Runtime.Tests")]
