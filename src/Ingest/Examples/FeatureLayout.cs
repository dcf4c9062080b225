namespace DistTrain.Ingest;

/// <summary>How a feature's values lie in a record.</summary>
internal enum FeatureLayout : byte
{
    /// <summary>Nowhere.</summary>
    None,

    /// <summary>In one piece, as writers make them: packed numbers, a number or a byte string.</summary>
    OnePiece,

    /// <summary>In the pieces of one list.</summary>
    OneList,

    /// <summary>In several lists of one feature.</summary>
    OneFeature,

    /// <summary>In several lists of several features that make one, in a map's entry.</summary>
    OneEntry,

    /// <summary>In several lists; of which, is not known yet.</summary>
    Scattered,
}
